#include "jobs/score/predicted_score.h"

#include <fmt/format.h>

#include <algorithm>

#include "jobs/prediction/predicted_parts.h"
#include "jobs/score/batch_plan.h"
#include "jobs/score/results.h"

namespace switchyard {
namespace {

constexpr int64_t kSampledChunks = 24, kSampledSteps = 4;  // of each chunk

/// Evenly: 0 … count − 1.
std::vector<int64_t> some_of(int64_t count, int64_t most) {
  std::vector<int64_t> some;
  const int64_t taken = std::min(count, most);
  for (int64_t i = 0; i < taken; ++i) some.push_back(i * count / taken);
  return some;
}

struct ChunkSeconds {
  StepSeconds steps;
  double tokens = 0;
};

class Chunks {
 public:
  Chunks(const ScorePlan& plan, PriceList& prices, const std::vector<double>& share, int64_t step_seconds)
      : plan_(plan), prices_(prices), steps_(plan.config, plan, share), step_seconds_(step_seconds) {}

  ChunkSeconds seconds_of(const std::vector<PlannedRecord>& records) {
    std::vector<int64_t> lengths;
    for (const PlannedRecord& record : records) lengths.push_back(record.length);
    ChunkSeconds chunk;
    for (const int64_t length : lengths) chunk.tokens += static_cast<double>(length);
    const BatchPlan batches = plan_batches(lengths, plan_.ep, capacity());
    double sampled = 0;
    for (const int64_t s : some_of(std::ssize(batches), kSampledSteps)) {
      std::vector<std::vector<PlannedRecord>> of_ranks;
      double tokens = 0;
      for (const std::vector<int>& batch : batches[static_cast<size_t>(s)]) {
        std::vector<PlannedRecord>& of_rank = of_ranks.emplace_back();
        for (const int record : batch) {
          of_rank.push_back(records[static_cast<size_t>(record)]);
          tokens += static_cast<double>(of_rank.back().length);
        }
      }
      const StepSeconds step = prices_.seconds_of_step(steps_.list(of_ranks));
      chunk.steps += step;
      sampled += tokens;
      tokens_per_second_ = tokens / step.all;
    }
    if (sampled > 0) chunk.steps = chunk.steps * (chunk.tokens / sampled);
    return chunk;
  }

 private:
  /// As ChunkScorer has it: a step is bounded in time.
  int64_t capacity() const {
    const int64_t most = plan_.limits.max_tokens;
    if (tokens_per_second_ == 0) return most;
    const double bound = tokens_per_second_ * static_cast<double>(step_seconds_) / plan_.ep;
    return std::clamp(static_cast<int64_t>(std::min(bound, 1e18)), int64_t{1}, most);
  }

  const ScorePlan& plan_;
  PriceList& prices_;
  ScoringSteps steps_;
  const int64_t step_seconds_;
  double tokens_per_second_ = 0;
};

/// Of two micro-batches the rows of one travel while the other computes.
void hide_exchange(StepSeconds& steps) {
  const double hidden = std::min(steps.exchange, (steps.all - steps.exchange) / 2);
  steps.all -= hidden;
  steps.exchange -= hidden;
}

}  // namespace

Prediction predict_scoring(const ScoreOptions& options, const ScorePlan& plan, const RecordLengths& lengths,
                           const Profile& profile, const std::vector<double>& share, uint64_t model_bytes) {
  const int64_t step_seconds = std::max<int64_t>(1, options.term_grace / 4);
  const int64_t nodes = (plan.world_size + plan.ranks_on_host - 1) / plan.ranks_on_host;
  const PlannedLayout layout{plan.ranks_on_host, plan.threads, (plan.ep + plan.ranks_on_host - 1) / plan.ranks_on_host};
  PriceList prices(profile, layout);
  Prediction p{.nodes = nodes, .ranks = plan.world_size, .ep = plan.ep, .threads = plan.threads};
  p.on_gpus = profile.machine.device != "cpu";
  p.operand = plan.operand;
  p.tokens = plan.num_tokens;
  p.memory = plan.memory.peak();

  Chunks chunks(plan, prices, share, step_seconds);
  chunks.seconds_of(lengths(0, plan.units.items_in(0)));  // which finds its pace
  ChunkSeconds sampled;
  for (const int64_t chunk : some_of(plan.units.total, kSampledChunks)) {
    const ChunkSeconds seconds = chunks.seconds_of(lengths(plan.units.first_item(chunk), plan.units.items_in(chunk)));
    sampled.steps += seconds.steps;
    sampled.tokens += seconds.tokens;
  }
  if (plan.limits.micro_batches > 1) hide_exchange(sampled.steps);
  // A group has every num_groups-th chunk; the first one has most of them.
  const int64_t groups = plan.num_groups(), most = (plan.units.total + groups - 1) / groups;
  const double mean_tokens =
      static_cast<double>(plan.num_tokens) / static_cast<double>(std::max<int64_t>(1, plan.units.total));
  const double of_group = groups == 1 ? static_cast<double>(plan.num_tokens) : mean_tokens * static_cast<double>(most);
  const StepSeconds work = sampled.tokens > 0 ? sampled.steps * (of_group / sampled.tokens) : StepSeconds{};
  const int64_t counts = plan.config.num_layers() * plan.config.num_experts();
  const auto shards = static_cast<double>(
      predicted_shard_bytes(plan.units.items_total, plan.num_tokens, plan.units.total, counts, plan.results));
  p.checkpoints = static_cast<double>(most) *
                  predict_commit(prices, shards / static_cast<double>(std::max<int64_t>(1, plan.units.total)));
  p.work = work.all + p.checkpoints;
  p.load = predict_load(prices, plan.config, plan.operand, plan.ep, model_bytes, false);
  p.finish = predict_commit(prices, static_cast<double>(predicted_results_bytes(plan.units.items_total, plan.num_tokens,
                                                                                counts, plan.results)));
  if (p.work > 0) {
    p.exchange_share = work.exchange / p.work;
    p.idle_share = (work.all - work.exchange - work.useful) / p.work;
  }
  p.flop_seconds = predict_by_operations(
      profile, layout, plan.operand,
      2 * static_cast<double>(plan.config.active_parameters()) * static_cast<double>(plan.num_tokens), plan.world_size);
  p.notes = prices.notes();
  if (plan.limits.micro_batches > 1 && plan.ep > 1)
    p.notes.push_back("assumed: what travels is hidden behind half of the computing (--micro-batches 2)");
  if (const std::string note = idle_groups_note(plan); !note.empty()) p.notes.push_back(note);
  return p;
}

}  // namespace switchyard
