#include <algorithm>
#include <numeric>

#include "jobs/plan/predicted_parts.h"
#include "plan/works.h"
#include "train/parameters/step_slices.h"

namespace switchyard {
namespace {

constexpr int64_t kSampledSteps = 6, kSampledRanks = 4;

/// A step's records in its slices, and how many tokens all of them have.
struct PlannedStep {
  std::vector<std::vector<PlannedRecord>> slices;
  int64_t tokens = 0;
};

PlannedStep planned_step(const PlannedData& data, int64_t step, int64_t num_slices) {
  const std::vector<RecordPlace> places = data.order.records(step);
  std::vector<int64_t> tokens;
  for (const RecordPlace& place : places) tokens.push_back(data.tokens(place));
  const std::vector<int64_t> ends = cut_into_slices(tokens, num_slices);
  PlannedStep planned;
  planned.tokens = std::accumulate(tokens.begin(), tokens.end(), int64_t{0});
  for (size_t s = 0; s + 1 < ends.size(); ++s) {
    std::vector<PlannedRecord>& slice = planned.slices.emplace_back();
    for (int64_t r = ends[s]; r < ends[s + 1]; ++r) slice.push_back(data.of(places[static_cast<size_t>(r)]));
  }
  return planned;
}

}  // namespace

Prediction predict_training(const TrainOptions& options, const TrainPlan& plan, const ModelConfig& config,
                            const PlannedData& data, const Profile& profile, uint64_t model_bytes) {
  const TrainMemoryRequest& shape = plan.shape();
  const int ranks_on_host = plan.layout.ranks_on_host;
  const PlannedLayout layout{ranks_on_host, shape.threads, (shape.ep + ranks_on_host - 1) / ranks_on_host};
  PriceList prices(profile, layout);
  Prediction p{.nodes = (shape.world_size + ranks_on_host - 1) / ranks_on_host,
               .ranks = shape.world_size,
               .ep = shape.ep,
               .threads = shape.threads};
  p.operand = shape.operand;
  p.memory = plan.layout.memory.peak();
  p.memory_bound = plan.layout.bound.bytes;

  StepSeconds sampled;
  int64_t sampled_tokens = 0, sampled_steps = 0;
  for (int64_t i = 0; i < std::min(kSampledSteps, plan.steps); ++i, ++sampled_steps) {
    const PlannedStep step = planned_step(data, 1 + i * plan.steps / std::min(kSampledSteps, plan.steps), plan.slices);
    std::vector<WorkLog> works;
    const int64_t ranks = std::min<int64_t>(kSampledRanks, shape.world_size);
    for (int64_t r = 0; r < ranks; ++r) {
      const auto rank = static_cast<int>(r * shape.world_size / ranks);
      const SliceRange range = slices_of_rank(plan.slices, rank, shape.world_size);
      const auto records =
          std::span(step.slices).subspan(static_cast<size_t>(range.first), static_cast<size_t>(range.count()));
      works.push_back(list_training_step(config, shape, rank, step.tokens, records));
    }
    sampled += prices.seconds_of_step(works);
    sampled_tokens += step.tokens;
  }
  const auto steps = static_cast<double>(plan.steps);
  const StepSeconds work = sampled * (steps / static_cast<double>(std::max<int64_t>(1, sampled_steps)));
  p.tokens = static_cast<int64_t>(static_cast<double>(sampled_tokens) * steps /
                                  static_cast<double>(std::max<int64_t>(1, sampled_steps)));

  const double parameters = static_cast<double>(config.total_parameters());
  const double state = 3 * sizeof(float) * parameters * shape.trained / shape.world_size;
  const int64_t saves = options.save_steps > 0 ? (plan.steps - 1) / options.save_steps + 1 : 1;
  p.checkpoints = static_cast<double>(saves) * prices.seconds_of(work_of_checkpoint(state));
  const int64_t evaluations = data.held_out_tokens == 0 ? 0
                              : options.eval_steps > 0  ? (plan.steps - 1) / options.eval_steps + 1
                                                        : 1;
  // Forward alone, about a third of a step.
  const double evaluated = work.all / 3 * static_cast<double>(evaluations * data.held_out_tokens) /
                           static_cast<double>(std::max<int64_t>(1, p.tokens));
  p.work = work.all + p.checkpoints + evaluated;
  p.load = predict_load(prices, config, shape.operand, shape.ep, model_bytes, true);
  p.finish = predict_commit(prices, model_bytes > 0 ? static_cast<double>(model_bytes) : 4 * parameters);
  if (p.work > 0) {
    p.exchange_share = work.exchange / p.work;
    p.idle_share = (work.all - work.exchange - work.useful) / p.work;
  }
  p.flop_seconds = predict_by_operations(
      profile, layout, shape.operand,
      6 * static_cast<double>(config.active_parameters()) * static_cast<double>(p.tokens), shape.world_size);
  p.notes = prices.notes();
  return p;
}

}  // namespace switchyard
