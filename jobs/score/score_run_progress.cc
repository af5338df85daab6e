// What is told of a scoring run while it lasts: the state, metrics.jsonl, the progress line.
#include <algorithm>
#include <ctime>

#include "base/log.h"
#include "base/stopwatch.h"
#include "io/file.h"
#include "jobs/score/score_run.h"
#include "jobs/text.h"

namespace switchyard {
namespace {

constexpr double kTellSeconds = 5;  // between two writes of the state, and of metrics by the whole world

}  // namespace

void ScoreRun::on_step(const ChunkProgress& chunk) {
  records_in_flight_ = chunk.records;
  if (group_->rank() == 0 && chunk.tokens_left > 0 &&
      seconds_now() - metrics_told_at_ >= kTellSeconds * plan_.num_groups()) {
    const int64_t fresh = chunk.records - metrics_told_records_;
    metrics_told_records_ = chunk.records;
    write_metrics(chunk.chunk, fresh, 0);
  }
  tell_progress();
}

void ScoreRun::tell_progress() {
  if (!on_root()) return;
  const double begin = seconds_now();
  // The others wait for this rank's next step: looking at the shards and syncing the state may take it a hundredth.
  if (begin - state_told_at_ >= std::max(kTellSeconds, 100 * state_tell_seconds_)) {
    write_state(RunStatus::running, ExitCode::complete, "");
    state_told_at_ = seconds_now();
    state_tell_seconds_ = state_told_at_ - begin;
  }
  if (progress_->due()) progress_->show(progress_report());
}

ProgressReport ScoreRun::progress_report() const {
  const double elapsed = std::max(1e-9, seconds_now() - score_start_);
  ProgressReport report;
  report.chunks_total = plan_.num_chunks;
  report.chunks_resumed = resumed_chunks_;
  report.records_total = plan_.num_records;
  for (const int64_t chunk : directory_.shards_present()) {
    if (chunk >= plan_.num_chunks) continue;
    ++report.chunks_done;
    report.records_done += plan_.chunk_size(chunk);
  }
  // Of the other groups' chunks nothing is known here but that they go as fast.
  const int64_t in_flight = records_in_flight_ * plan_.num_groups();
  report.records_done = std::min(report.records_done + in_flight, plan_.num_records);
  report.tokens_per_second = static_cast<double>(scorer_->counters().group_tokens * plan_.num_groups()) / elapsed;
  const ExchangeCounters& exchange = engine_->exchange_counters();
  report.exchange_share = (exchange.wait_seconds + exchange.transfer_seconds) / elapsed;
  report.imbalance = expert_imbalance();
  const int64_t fresh = report.records_done - resumed_records_;
  if (fresh > 0)
    report.seconds_left =
        elapsed / static_cast<double>(fresh) * static_cast<double>(report.records_total - report.records_done);
  report.seconds_to_limit = seconds_to_job_end().value_or(-1);
  return report;
}

/// Rows of the group's most loaded rank over the mean, so far.
double ScoreRun::expert_imbalance() const {
  const auto& rows = engine_->exchange_counters().tokens_per_expert;
  std::vector<int64_t> load(static_cast<size_t>(plan_.ep), 0);
  for (size_t expert = 0; expert < rows.size(); ++expert)
    load[static_cast<size_t>(engine_->exchange().placement().rank_of(static_cast<int>(expert)))] += rows[expert];
  int64_t total = 0, most = 0;
  for (const int64_t l : load) {
    total += l;
    most = std::max(most, l);
  }
  return total > 0 ? static_cast<double>(most * plan_.ep) / static_cast<double>(total) : 1;
}

/// Once, when the time limit is near: what this group has left to do, as it has been seen to go. Merging reads a shard
/// and writes its rows, which takes no longer than writing and syncing it took.
void ScoreRun::announce_limit(double seconds_left, int64_t chunks_left) {
  if (limit_announced_ || !on_root()) return;
  limit_announced_ = true;
  if (chunks_done_ == 0) {
    log::info("the time limit is near: {} left, {} chunks to do, their time not known yet", duration_text(seconds_left),
              chunks_left);
    return;
  }
  const auto done = static_cast<double>(chunks_done_);
  const double scoring = (seconds_now() - score_start_) / done * static_cast<double>(chunks_left);
  const double merging = write_seconds_ / done * static_cast<double>(plan_.num_chunks);
  const bool all = scoring + merging + scorer_->pace().reserve() < seconds_left;
  log::info("the time limit is near: {} left, {} chunks take about {}, merging at most {}: going on{}",
            duration_text(seconds_left), chunks_left, duration_text(scoring), duration_text(merging),
            all ? "" : " with what fits");
}

/// records, rejects: of the chunk, since its line before. Of a group's first rank.
void ScoreRun::write_metrics(int64_t chunk, int64_t records, int64_t rejects) {
  const ExchangeCounters& exchange = engine_->exchange_counters();
  const double now = seconds_now();
  Json line;
  line["time"] = static_cast<int64_t>(std::time(nullptr));
  line["group"] = world_.rank() / plan_.ep;
  line["chunk"] = chunk;
  line["records"] = records;
  line["rejects"] = rejects;
  line["seconds"] = now - metrics_told_at_;
  line["group_tokens"] = scorer_->counters().group_tokens;
  line["exchange_wait"] = exchange.wait_seconds;
  line["exchange_transfer"] = exchange.transfer_seconds;
  append_line(directory_.metrics_path(), to_text(line));
  metrics_told_at_ = now;
}

}  // namespace switchyard
