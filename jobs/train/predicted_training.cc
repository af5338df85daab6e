#include "jobs/train/predicted_training.h"

#include <algorithm>
#include <numeric>

#include "jobs/prediction/predicted_parts.h"
#include "plan/works.h"
#include "train/parameters/step_slices.h"

namespace switchyard {
namespace {

constexpr int64_t kSampledSteps = 12, kCountedSteps = 4096;
constexpr size_t kSampledRanks = 4;

/// A step's records in its slices, and how many tokens all of them have.
struct PlannedStep {
  std::vector<std::vector<PlannedRecord>> slices;
  int64_t tokens = 0;
};

PlannedStep planned_step(const PlannedData& data, const DataOrder& order, int64_t step, int64_t num_slices) {
  const std::vector<RecordPlace> places = order.records(step);
  std::vector<int64_t> tokens;
  for (const RecordPlace& place : places) tokens.push_back(data.of(place).length);
  const std::vector<int64_t> ends = cut_into_slices(tokens, num_slices);
  PlannedStep planned;
  planned.tokens = std::accumulate(tokens.begin(), tokens.end(), int64_t{0});
  for (size_t s = 0; s + 1 < ends.size(); ++s) {
    std::vector<PlannedRecord>& slice = planned.slices.emplace_back();
    for (int64_t r = ends[s]; r < ends[s + 1]; ++r) slice.push_back(data.of(places[static_cast<size_t>(r)]));
  }
  return planned;
}

/// [ranks] of the step.
std::vector<int64_t> tokens_of_ranks(const PlannedStep& step, int64_t slices, int world_size) {
  std::vector<int64_t> tokens;
  for (int rank = 0; rank < world_size; ++rank) {
    const SliceRange range = slices_of_rank(slices, rank, world_size);
    int64_t& of_rank = tokens.emplace_back();
    for (int64_t s = range.first; s < range.end; ++s) of_rank += total_length(step.slices[static_cast<size_t>(s)]);
  }
  return tokens;
}

/// Of so many steps; of very many the first ones stand for all.
int64_t tokens_of_steps(const PlannedData& data, const DataOrder& order, int64_t steps) {
  const int64_t counted = std::min(steps, kCountedSteps);
  int64_t tokens = 0;
  for (int64_t step = 1; step <= counted; ++step)
    for (const RecordPlace& place : order.records(step)) tokens += data.of(place).length;
  return static_cast<int64_t>(static_cast<double>(tokens) * static_cast<double>(steps) / static_cast<double>(counted));
}

}  // namespace

std::vector<int64_t> PlannedData::sizes() const {
  std::vector<int64_t> sizes;
  for (const auto& dataset : records) sizes.push_back(std::ssize(dataset));
  return sizes;
}

int64_t PlannedData::held_out_tokens() const {
  return total_length(held_out);
}

DataSummary PlannedData::summary(const TrainOptions& options, const DataOrder& order) const {
  DataSummary summary{.sizes = sizes()};
  // As TrainingData::mean_step_tokens has it.
  const std::vector<double> weights = options.file_weights();
  double tokens = 0, shares = 0;
  for (size_t i = 0; i < records.size(); ++i) {
    const auto count = static_cast<double>(records[i].size());
    const double share = weights.empty() ? count : weights[i];
    tokens += share * static_cast<double>(total_length(records[i])) / count;
    shares += share;
  }
  summary.mean_step_tokens = static_cast<int64_t>(tokens / shares * static_cast<double>(options.step_records));
  for (const PlannedRecord& record : held_out)
    summary.longest_held_out = std::max(summary.longest_held_out, record.length + 1);
  summary.largest_step = [this, &order](int64_t steps, int64_t slices, int ranks) {
    return largest_step([this](const RecordPlace& place) { return of(place).length; }, order, steps, slices, ranks);
  };
  return summary;
}

std::vector<PlannedRecord> records_to_learn(const RecordLengths& lengths, int64_t count) {
  constexpr int64_t kAtOnce = 1 << 16;
  std::vector<PlannedRecord> records;
  for (int64_t first = 0; first < count; first += kAtOnce)
    for (const PlannedRecord& record : lengths(first, std::min(kAtOnce, count - first)))
      if (record.length > 1 && record.scored > 0) records.push_back({record.length - 1, record.scored});
  return records;
}

std::vector<PlannedRecord> records_to_learn(const TrainingData::Dataset& data) {
  std::vector<PlannedRecord> records;
  for (int64_t r = 0; r < data.kept.size(); ++r) {
    const int64_t tokens = data.kept.length(data.kept.index(r)) - 1;
    records.push_back({tokens, tokens});
  }
  return records;
}

Prediction predict_training(const TrainOptions& options, const TrainPlan& plan, const ModelConfig& config,
                            const PlannedData& data, const Profile& profile, uint64_t model_bytes) {
  const TrainMemoryRequest& shape = plan.shape();
  const int ranks_on_host = plan.layout.ranks_on_host;
  const auto hosts_of = [&](int ranks) { return (ranks + ranks_on_host - 1) / ranks_on_host; };
  const PlannedLayout layout{ranks_on_host, shape.threads, hosts_of(shape.ep), hosts_of(shape.world_size)};
  PriceList prices(profile, layout);
  Prediction p{.nodes = (shape.world_size + ranks_on_host - 1) / ranks_on_host,
               .ranks = shape.world_size,
               .ep = shape.ep,
               .threads = shape.threads};
  p.on_gpus = profile.machine.device != "cpu";
  p.operand = shape.operand;
  p.memory = plan.layout.memory.peak();

  const DataOrder order(options.order(data.sizes()));
  // Some steps in full, the others by their tokens.
  StepSeconds sampled;
  int64_t sampled_tokens = 0;
  const int64_t num_sampled = std::min(kSampledSteps, plan.steps);
  for (int64_t i = 0; i < num_sampled; ++i) {
    const PlannedStep step = planned_step(data, order, 1 + i * plan.steps / num_sampled, plan.slices);
    std::vector<WorkLog> works;
    const std::vector<int64_t> tokens = tokens_of_ranks(step, plan.slices, shape.world_size);
    for (const size_t number : some_ranks(tokens, kSampledRanks)) {
      const auto rank = static_cast<int>(number);
      const SliceRange range = slices_of_rank(plan.slices, rank, shape.world_size);
      const auto records =
          std::span(step.slices).subspan(static_cast<size_t>(range.first), static_cast<size_t>(range.count()));
      works.push_back(list_training_step(config, shape, rank, step.tokens, records));
    }
    sampled += prices.seconds_of_step(works);
    sampled_tokens += step.tokens;
  }
  p.tokens = tokens_of_steps(data, order, plan.steps);
  const StepSeconds work =
      sampled * (static_cast<double>(p.tokens) / static_cast<double>(std::max<int64_t>(1, sampled_tokens)));

  const double parameters = static_cast<double>(config.total_parameters());
  const double state = 3 * sizeof(float) * parameters * shape.trained / shape.world_size;
  const int64_t saves = options.save_steps > 0 ? (plan.steps - 1) / options.save_steps + 1 : 1;
  p.checkpoints = static_cast<double>(saves) * prices.seconds_of(work_of_checkpoint(state));
  const int64_t held_out_tokens = data.held_out_tokens();
  const int64_t evaluations = held_out_tokens == 0     ? 0
                              : options.eval_steps > 0 ? (plan.steps - 1) / options.eval_steps + 1
                                                       : 1;
  // Forward alone, about a third of a step.
  const double evaluated = work.all / 3 * static_cast<double>(evaluations * held_out_tokens) /
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
