// What a scoring run says of itself: manifest, metrics, progress.
#include <algorithm>

#include "base/log.h"
#include "base/stopwatch.h"
#include "base/text.h"
#include "io/file.h"
#include "jobs/records/provenance.h"
#include "jobs/score/quantiles.h"
#include "jobs/score/score_run.h"

namespace switchyard {

Fingerprint ScoreRun::fingerprint() const {
  Fingerprint f;
  f["config"] = config_hash(plan_.config).hex();
  if (!input_hash_.empty()) f["input"] = input_hash_;
  f["numerics"] = plan_.numerics;
  f["chunk_records"] = std::to_string(plan_.units.items_per_unit);
  f["per_token"] = plan_.results.per_token ? "true" : "false";
  f["with_text"] = plan_.results.with_text ? "true" : "false";
  f["embed"] = plan_.results.embed;
  if (!plan_.results.quantiles.empty()) f["quantiles"] = levels_text(plan_.results.quantiles);
  if (!model_hash_.empty()) f["model"] = model_hash_;
  return f;
}

/// The run's own is found wherever the run is.
std::string ScoreRun::recorded_input_path() const {
  return makes_input() ? input_->path().filename().native() : absolute_path(input_->path(), ExitCode::input);
}

Json ScoreRun::manifest_info() const {
  Json info = provenance("score", options_, options_.model, plan_.operand, plan_.device.device);
  info["exchange"] = std::string(group_->kind());
  info["input"] = path_to_json(recorded_input_path());
  info["max_positions"] = plan_.config.max_positions;
  info["experts_per_token"] = plan_.config.experts_per_token();
  info["embedding_dim"] = plan_.results.embedding_dim;
  info["num_records"] = plan_.units.items_total;
  info["joined"] = plan_.num_documents.has_value();
  return info;
}

void ScoreRun::on_step(const ChunkProgress& chunk) {
  constexpr double kTellSeconds = 5;  // between two lines of the whole world
  records_in_flight_ = chunk.records;
  if (metrics_ && chunk.tokens_left > 0 && metrics_->seconds_untold() >= kTellSeconds * plan_.num_groups())
    metrics_->tell(chunk.records, metrics());
  // Of the other groups' chunks nothing is known here but that they go as fast.
  attempt_->tell(chunk.records * plan_.num_groups(), [&] { return progress_details(); });
}

std::string ScoreRun::progress_details() const {
  const double elapsed = std::max(1e-9, attempt_->seconds());
  const ExchangeTimes exchange = engine_->exchange_counters().total_times();
  return fmt::format("{} tok/s | comm {:.0f}% | imbalance {:.2f}",
                     rate_text(static_cast<double>(scorer_->counters().group_tokens * plan_.num_groups()) / elapsed),
                     100 * (exchange.wait + exchange.transfer) / elapsed, expert_imbalance());
}

/// Rows of the group's most loaded rank over the mean, so far.
double ScoreRun::expert_imbalance() const {
  const std::vector<int64_t> rows = engine_->exchange_counters().total_per_expert();
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
  const double scoring = attempt_->seconds() / done * static_cast<double>(chunks_left);
  const double merging = write_seconds_ / done * static_cast<double>(plan_.units.total);
  const bool all = scoring + merging + scorer_->pace().reserve() < seconds_left;
  log::info("the time limit is near: {} left, {} chunks take about {}, merging at most {}: going on{}",
            duration_text(seconds_left), chunks_left, duration_text(scoring), duration_text(merging),
            all ? "" : " with what fits");
}

/// Beside the records: what this group has done since the attempt began.
Json ScoreRun::metrics() const {
  const ExchangeTimes exchange = engine_->exchange_counters().total_times();
  return {{"group_tokens", scorer_->counters().group_tokens},
          {"exchange_wait", exchange.wait},
          {"exchange_transfer", exchange.transfer}};
}

}  // namespace switchyard
