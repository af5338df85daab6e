// The end of a scoring run: the world meets, rank 0 merges, and what it came to is told.
#include <ctime>
#include <iostream>

#include "base/log.h"
#include "base/stopwatch.h"
#include "base/version.h"
#include "io/file.h"
#include "jobs/collectively.h"
#include "jobs/score/score_run.h"
#include "run/attempts.h"

namespace switchyard {

ExitCode ScoreRun::finish() {
  pulse_.phase("waiting for all groups");
  {
    const Stopwatch stopwatch(wait_seconds_);
    wait_for_all(*signals_, world_, engine_->stream());
  }
  const double scoring_seconds = seconds_now() - score_start_;
  if (on_root()) progress_.reset();
  const int64_t mine = group_->rank() == 0 ? chunks_done_ : 0;
  const int64_t done = resumed_chunks_ + world_.all_reduce_one(mine, ReduceOp::sum);

  pulse_.phase("merging");
  auto code = static_cast<int64_t>(ExitCode::interrupted);
  collectively(world_, [&] {
    if (!on_root()) return;
    if (done == plan_.num_chunks) {
      code = static_cast<int64_t>(merge());
    } else {
      write_state(RunStatus::interrupted, ExitCode::interrupted, fmt::format("stopped {}", why_stopped()));
    }
  });
  world_.broadcast({&code, {1}, DType::i64}, 0);

  RunSummary summary =
      gather_summary(world_, phases(), scorer_->counters().tokens, engine_->exchange_counters().tokens_per_expert);
  world_.barrier();  // who leaves first would be missed by the others' watchdogs
  watchdog_.reset();
  if (on_root()) {
    summary.scoring_seconds = scoring_seconds;
    summary.resumed_chunks = resumed_chunks_;
    report(summary);
    if (code == static_cast<int64_t>(ExitCode::interrupted))
      log::warning("interrupted with {} of {} chunks done: run the same command again to resume", done,
                   plan_.num_chunks);
    lease_.reset();
  }
  return static_cast<ExitCode>(code);
}

/// Shards to results, and the state that says so. What may last beats: the other ranks wait.
ExitCode ScoreRun::merge() {
  const Stopwatch stopwatch(merge_seconds_);
  if (!totals_) {
    write_state(RunStatus::merging, ExitCode::complete, "");
    const ShardSet shards = shard_set();
    MergeInput merge{
        .shards = shards, .input = *input_, .id_hashes = id_hashes_, .lease_nonce = nonce_, .pulse = &pulse_};
    for (const auto& [name, value] : fingerprint()) merge.provenance[name] = value;
    merge.provenance["switchyard"] = SWITCHYARD_VERSION " " SWITCHYARD_GIT_REVISION;
    merge.provenance["model_path"] = path_to_text(absolute_path(options_.model, ExitCode::input));
    merge.provenance["input_path"] = path_to_text(absolute_path(options_.input, ExitCode::input));
    merge.stop = [&] { return time_is_up(); };
    if (merge_results(merge) == MergeOutcome::interrupted) {
      write_state(RunStatus::interrupted, ExitCode::interrupted,
                  fmt::format("stopped while merging, {}", why_stopped()));
      return ExitCode::interrupted;
    }
  }
  if (!totals_) totals_ = read_totals(directory_, [&] { pulse_.beat(); });
  const bool too_many = totals_->rejects > options_.max_rejects;
  const ExitCode code = too_many ? ExitCode::too_many_rejects : ExitCode::complete;
  write_state(RunStatus::complete, code,
              too_many ? fmt::format("{} rejects, at most {} allowed", totals_->rejects, options_.max_rejects) : "");
  if (options_.drop_shards) drop_shards();
  return code;
}

void ScoreRun::drop_shards() const {
  std::error_code ignored;  // the run is complete; what is left does no harm
  for (const int64_t chunk : directory_.shards_present()) {
    std::filesystem::remove(directory_.shard_path(chunk), ignored);
    pulse_.beat();
  }
  std::filesystem::remove_all(directory_.root() / "shards", ignored);
}

std::string_view ScoreRun::why_stopped() const {
  return signals_->request() == SignalWatch::limit_near ? "before the time limit" : "on request";
}

/// What the run directory knows. It is told for a person: that it cannot be read does not undo what is complete.
void ScoreRun::add_history(RunUsage& usage) const try {
  const std::vector<Attempt> attempts = list_attempts(directory_);
  usage.attempts = std::ssize(attempts);
  if (!attempts.empty()) usage.run_seconds = static_cast<double>(std::time(nullptr) - attempts.front().started);
  std::vector<uint8_t> kept(static_cast<size_t>(plan_.num_chunks), totals_ ? 1 : 0);
  for (const int64_t chunk : directory_.shards_present())
    if (chunk < plan_.num_chunks) kept[static_cast<size_t>(chunk)] = 1;
  usage.lost = restart_losses(directory_.metrics_path(), [&](int64_t chunk) {
    return chunk >= 0 && chunk < plan_.num_chunks && kept[static_cast<size_t>(chunk)] != 0 ? plan_.chunk_size(chunk)
                                                                                           : 0;
  });
} catch (const std::exception& error) {
  log::warning("the run's attempts cannot be counted: {}", error.what());
}

/// For a person the phase table and advice; once complete, report.html and a line for machines.
void ScoreRun::report(RunSummary& summary) const {
  summary.threads_total = plan_.threads * plan_.ranks_on_host;
  summary.cores = available_cores();
  summary.chunks = plan_.num_chunks;
  add_history(summary.usage);
  if (totals_) {
    summary.records = totals_->records;
    summary.scored_tokens = totals_->tokens;
    summary.rejects = totals_->rejects;
    summary.logprob = totals_->logprob;
    write_file_atomically(directory_.report_path(), report_html("switchyard score", describe_plan(plan_), summary));
    if (totals_->rejects > 0)
      log::warning("{} records were rejected, the first: {} (all in {})", totals_->rejects, totals_->first_reject,
                   directory_.rejects_path().string());
  }
  for (const std::string& line : phase_table(summary)) log::info("{}", line);
  for (const std::string& line : usage_lines(summary)) log::info("{}", line);
  for (const std::string& note : advice(summary)) log::info("note: {}", note);
  if (totals_) std::cout << to_text(summary_json(summary)) << std::endl;
}

PhaseSeconds ScoreRun::phases() const {
  const ScoreCounters& c = scorer_->counters();
  const ExchangeCounters& exchange = engine_->exchange_counters();
  return {.load = load_seconds_,
          .read = c.read,
          .decode = c.decode,
          .exchange_wait = exchange.wait_seconds,
          .exchange_transfer = exchange.transfer_seconds,
          .head = c.head,
          .gather = c.gather,
          .write = write_seconds_,
          .agree = c.agree,
          .wait = wait_seconds_,
          .merge = merge_seconds_,
          .total = seconds_now() - start_};
}

}  // namespace switchyard
