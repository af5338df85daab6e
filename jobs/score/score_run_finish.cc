// The end of a scoring run: rank 0 merges, and what it came to is told.
#include <algorithm>
#include <ctime>
#include <iostream>

#include "base/log.h"
#include "base/stopwatch.h"
#include "base/version.h"
#include "io/file.h"
#include "jobs/score/report.h"
#include "jobs/score/score_run.h"
#include "jobs/score/throughput.h"
#include "run/attempts.h"

namespace switchyard {

/// Shards to results, and the state that says so. What may last beats: the other ranks wait.
ExitCode ScoreRun::merge() {
  const Stopwatch stopwatch(merge_seconds_);
  if (!totals_) {
    attempt_->write_state(RunStatus::merging, ExitCode::complete, "");
    const ShardSet shards = shard_set();
    MergeInput merge{.shards = shards,
                     .input = *input_,
                     .expert_tokens = ExpertCounts::zeros(plan_.config.num_layers(), plan_.config.num_experts()),
                     .pieces = pieces_,
                     .id_hashes = id_hashes_,
                     .lease_nonce = attempt_->lease_nonce(),
                     .pulse = &pulse_};
    for (const auto& [name, value] : fingerprint()) merge.provenance[name] = value;
    merge.provenance["switchyard"] = SWITCHYARD_VERSION " " SWITCHYARD_GIT_REVISION;
    merge.provenance["model_path"] = path_to_text(absolute_path(options_.model, ExitCode::input));
    merge.provenance["input_path"] = path_to_text(recorded_input_path());
    merge.stop = [&] { return attempt_->time_is_up(scorer_->pace().reserve()); };
    if (merge_results(merge) == MergeOutcome::interrupted) {
      attempt_->write_state(RunStatus::interrupted, ExitCode::interrupted,
                            fmt::format("stopped while merging, {}", attempt_->why_stopped()));
      return ExitCode::interrupted;
    }
  }
  if (!totals_) totals_ = read_totals(attempt_->directory(), reads_text(), [&] { pulse_.beat(); });
  attempt_->set_rejects(totals_->rejects);
  const ExitCode code = attempt_->complete(options_.max_rejects);
  if (options_.drop_shards) drop_shards();
  return code;
}

/// All at once for whoever looks, or a run that is killed here would seem to lack some.
void ScoreRun::drop_shards() const {
  std::error_code ignored;  // the run is complete; what is left does no harm
  const std::filesystem::path folder = plan_.units.folder(attempt_->directory().root()),
                              dropped = temporary_path(folder);
  std::filesystem::rename(folder, dropped, ignored);
  for (const auto& shard : std::filesystem::directory_iterator(dropped, ignored)) {
    std::filesystem::remove(shard.path(), ignored);
    pulse_.beat();
  }
  std::filesystem::remove_all(dropped, ignored);
}

/// Collective.
RunSummary ScoreRun::summarise() {
  RunSummary summary =
      gather_summary(world_, phases(), scorer_->counters().tokens, engine_->exchange_counters().total_per_expert(),
                     engine_->exchange_counters().bytes_to);
  summary.scoring_seconds = attempt_->seconds_worked();
  summary.resumed_chunks = attempt_->num_resumed();
  summary.chunks = plan_.units.total;
  summary.threads_total = plan_.threads * plan_.ranks_on_host;
  summary.cores = available_cores();
  return summary;
}

RankRecord ScoreRun::rank_record() {
  const ScoreCounters& c = scorer_->counters();
  const ExchangeCounters& exchange = engine_->exchange_counters();
  const ExchangeTimes times = exchange.total_times();
  const double since_resume = attempt_->seconds(), worked = attempt_->seconds_worked();
  RankSeconds seconds{.load = seconds_now() - start_ - since_resume,
                      .work = worked,
                      .finish = since_resume - worked,
                      .useful = c.decode + c.head - times.wait - times.transfer,
                      .exchange_wait = times.wait,
                      .exchange_transfer = times.transfer + c.late_rows,
                      .waiting = c.agree + attempt_->seconds_waited(),
                      .collectives = std::max(0.0, communicated_ - times.wait - times.transfer - c.agree - c.late_rows),
                      .overhead = c.read + write_seconds_};
  RankRecord record{.seconds = seconds,
                    .layers = layer_seconds(engine_->layer_seconds(), exchange.times),
                    .tokens = c.tokens,
                    .tokens_per_expert = exchange.tokens_per_expert,
                    .bytes_to = exchange.bytes_to};
  const ExpertPlacement& placement = engine_->exchange().placement();
  const std::vector<int64_t> per_expert = exchange.total_per_expert();
  for (size_t expert = 0; expert < per_expert.size(); ++expert) {
    record.assignments += per_expert[expert];
    if (placement.rank_of(static_cast<int>(expert)) != group_->rank()) record.remote_assignments += per_expert[expert];
  }
  return record;
}

/// ranks.json, of an attempt that has computed something. Collective.
void ScoreRun::tell_ranks() {
  RankLayout layout{.job = "score",
                    .ep = plan_.ep,
                    .threads = plan_.threads,
                    .num_experts = plan_.config.num_experts(),
                    .device = std::string(name_of(plan_.device.device)),
                    .exchange = std::string(group_->kind()),
                    .numerics = plan_.numerics};
  if (prediction_ && attempt_->num_resumed() == 0) layout.predicted = to_json(*prediction_);
  const Json record = gather_rank_records(world_, rank_record(), layout);
  if (on_root() && attempt_->num_resumed() < plan_.units.total)
    write_file_atomically(attempt_->directory().ranks_path(), to_text(record) + "\n");
}

/// What the run directory knows. It is told for a person: that it cannot be read does not undo what is complete.
void ScoreRun::add_history(RunUsage& usage, std::vector<report::TimeSeries::Attempt>& speed) const try {
  const RunDirectory& run = attempt_->directory();
  const std::vector<AttemptRecord> attempts = list_attempts(run);
  usage.attempts = std::ssize(attempts);
  if (!attempts.empty()) usage.run_seconds = static_cast<double>(std::time(nullptr) - attempts.front().started);
  std::vector<uint8_t> kept(static_cast<size_t>(plan_.units.total), totals_ ? 1 : 0);
  for (const int64_t chunk : plan_.units.present(run.root()))
    if (chunk < plan_.units.total) kept[static_cast<size_t>(chunk)] = 1;
  usage.lost = restart_losses(run.metrics_path(), [&](int64_t chunk) {
    const bool is_kept = chunk >= 0 && chunk < plan_.units.total && kept[static_cast<size_t>(chunk)] != 0;
    return is_kept ? plan_.units.items_in(chunk) : 0;
  });
  if (totals_) speed = throughput(run);
} catch (const std::exception& error) {
  log::warning("the run's attempts cannot be told: {}", error.what());
}

/// For a person the phase table and advice; once complete, report.html and a line for machines.
void ScoreRun::report(RunSummary& summary) const {
  std::vector<report::TimeSeries::Attempt> speed;
  add_history(summary.usage, speed);
  if (totals_) {
    const RunDirectory& run = attempt_->directory();
    summary.joined = plan_.num_documents.has_value();
    summary.records = totals_->records;
    summary.scored_tokens = totals_->tokens;
    summary.rejects = totals_->rejects;
    summary.logprob = totals_->logprob;
    write_file_atomically(run.report_path(),
                          report_html("switchyard score", describe_plan(plan_), summary, *totals_, speed));
    if (totals_->rejects > 0)
      log::warning("{} {} were rejected, the first: {} (all in {})", totals_->rejects,
                   summary.joined ? "documents" : "records", totals_->first_reject,
                   fmt::join(totals_->reject_files, " and "));
  }
  for (const std::string& line : phase_lines(phase_rows(summary))) log::info("{}", line);
  for (const std::string& line : usage_lines(summary)) log::info("{}", line);
  if (prediction_ && totals_ && summary.resumed_chunks == 0)
    log::info("{}", beside_prediction(*prediction_, summary.scoring_seconds));
  for (const std::string& note : advice(summary)) log::info("note: {}", note);
  if (totals_) std::cout << to_text(summary_json(summary)) << std::endl;
}

PhaseSeconds ScoreRun::phases() const {
  const ScoreCounters& c = scorer_->counters();
  const ExchangeTimes exchange = engine_->exchange_counters().total_times();
  return {.load = load_seconds_,
          .read = c.read,
          .decode = c.decode,
          .exchange_wait = exchange.wait,
          .exchange_transfer = exchange.transfer,
          .head = c.head,
          .gather = c.gather,
          .write = write_seconds_,
          .agree = c.agree + c.late_rows,
          .wait = attempt_->seconds_waited(),
          .merge = merge_seconds_,
          .total = seconds_now() - start_};
}

}  // namespace switchyard
