#include "jobs/train/train_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "base/text.h"
#include "comm/collectively.h"
#include "jobs/numerics.h"
#include "train/checkpoints/checkpoints.h"
#include "train/parameters/step_slices.h"

namespace switchyard {
namespace {

/// On so many ranks; not yet in groups.
TrainMemoryRequest shape_for(TrainMemoryRequest shape, int world_size, const DataSummary& data, int64_t steps) {
  const StepSizes sizes = data.largest_step(steps, shape.num_slices, world_size);
  shape.world_size = world_size;
  shape.rank_tokens = sizes.rank_tokens;
  shape.slice_tokens = sizes.slice_tokens;
  shape.longest = std::max(shape.evaluation.max_record, sizes.record_tokens);
  return shape;
}

}  // namespace

TrainerOptions trainer_options(const TrainOptions& options, const TrainPlan& plan, const ChosenParameters& chosen) {
  return {.shape = plan.shape(),
          .balance = options.train_router ? options.balance : 0,
          .optimiser = {.beta1 = options.adam_beta1,
                        .beta2 = options.adam_beta2,
                        .epsilon = options.adam_epsilon,
                        .weight_decay = options.weight_decay,
                        .max_grad_norm = options.max_grad_norm,
                        .train_router = options.train_router,
                        .router_bias_update_rate = options.router_bias_update_rate,
                        .ewc = options.trains.ewc},
          .select = chosen.select(plan.layout)};
}

FirstWeights load_first_weights(Trainer& trainer, const TrainOptions& options, const ChosenParameters& chosen) {
  Communicator& world = trainer.ranks().world();
  FirstWeights first;
  if (options.init.empty()) {
    first = load_model(trainer, options);
  } else {
    collectively(world, [&] {
      const InitialWeights initial{static_cast<uint64_t>(options.seed), read_initializer_range(options.init)};
      trainer.initialise(initial);
      first.model = fmt::format("new: seed {}, range {:g}", initial.seed, initial.range);
    });
  }
  collectively(world, [&] {
    chosen.require_model(first.model);
    if (chosen.held_to() != nullptr) trainer.hold(chosen.held_to()->source());
  });
  if (chosen.held_to() != nullptr) first.importance = trainer.importance_hash().hex();
  return first;
}

DataSummary summarise(const TrainOptions& options, const TrainingData& data, const TrainingData* eval,
                      const DataOrder& order, const std::function<void()>& poll) {
  constexpr int64_t kRecordsAPoll = 1 << 16;
  DataSummary summary{.sizes = data.sizes(),
                      .mean_step_tokens = data.mean_step_tokens(options.step_records, options.file_weights()),
                      .largest_step = [&data, &order, poll](int64_t steps, int64_t slices, int ranks) {
                        int64_t records = 0;
                        const auto tokens = [&](const RecordPlace& place) {
                          if (++records % kRecordsAPoll == 0) poll();
                          return data.tokens(place);
                        };
                        return largest_step(tokens, order, steps, slices, ranks);
                      }};
  if (eval != nullptr)
    for (const TrainingData::Dataset& set : eval->datasets())
      for (const int32_t length : set.kept.lengths())
        summary.longest_held_out = std::max<int64_t>(summary.longest_held_out, length);
  return summary;
}

DataSummary estimate(const TrainOptions& options, const std::vector<InputSize>& data,
                     const std::vector<InputSize>& eval) {
  DataSummary summary;
  int64_t records = 0, tokens = 0, longest = 1;
  for (const InputSize& size : data) {
    summary.sizes.push_back(std::max<int64_t>(size.records, 1));
    records += size.records;
    tokens += size.tokens;
    longest = std::max(longest, size.longest);
  }
  for (const InputSize& size : eval) summary.longest_held_out = std::max(summary.longest_held_out, size.longest);
  summary.mean_step_tokens = tokens / std::max<int64_t>(records, 1) * options.step_records;
  summary.largest_step = [step_tokens = summary.mean_step_tokens, longest](int64_t, int64_t slices, int ranks) {
    const int64_t slice = step_tokens / slices + longest, of_rank = (slices + ranks - 1) / ranks;
    return StepSizes{
        .rank_tokens = step_tokens / slices * of_rank + longest, .slice_tokens = slice, .record_tokens = longest};
  };
  return summary;
}

TrainPlan plan_training(const TrainOptions& options, const ModelConfig& config, const DataSummary& data,
                        const MachineShare& machine, const RunDirectory& run, double trained_share) {
  TrainPlan plan;
  const OperandChoice operand = choose_operand(options, run);
  plan.why_operand = operand.why;
  plan.numerics = numerics_of(config, operand.type).id;
  plan.steps = options.num_steps(DataOrder(options.order(data.sizes)));
  plan.schedule = options.schedule(plan.steps);
  plan.slices = options.slices > 0 ? options.slices : default_slices(data.mean_step_tokens);
  TrainMemoryRequest wanted{.operand = operand.type,
                            .num_slices = plan.slices,
                            .batch_tokens = options.batch_tokens,
                            .trained = trained_share,
                            .anchored = options.trains.ewc > 0};
  if (const int64_t longest = data.longest_held_out; longest > 0)
    wanted.evaluation = {.max_tokens = std::max(options.batch_tokens, longest), .max_record = longest};
  plan.layout = plan_pass_layout(
      fmt::format("training {}", config.family), config, options, machine, wanted,
      [&](const TrainMemoryRequest& shape, int world_size) { return shape_for(shape, world_size, data, plan.steps); });

  plan.units = WorkUnits::of_items(plan.steps * options.step_records, options.step_records);
  plan.units.name = "steps";
  plan.units.items = "records";
  plan.units.files = fmt::format("{}/step-*", Checkpoints::kFolder);
  plan.units.first = 1;
  plan.units.in_order = true;
  plan.units.results = "model";
  const auto parameters = static_cast<uint64_t>(ParameterSpace(config).num_elements());
  const int64_t written =
      2 + (options.save_steps > 0 ? plan.steps / options.save_steps : 0);  // the last, and on the way out
  const int64_t kept = options.save_total_limit > 0 ? options.save_total_limit : written;
  // Those that stay, the best, and one that is being written. A selection's rows and experts may be a few more.
  const auto checkpoints = static_cast<double>(std::min(kept + 2, written));
  const double saved_share = std::min(1.0, 1.1 * trained_share + 0.01);
  const size_t exported = options.export_as == "bf16" ? 2 : sizeof(float);
  plan.disk_bytes =
      static_cast<uint64_t>(checkpoints * saved_share * static_cast<double>(parameters * 3 * sizeof(float))) +
      parameters * exported + static_cast<uint64_t>(plan.steps) * 1024 + (uint64_t{1} << 20);
  return plan;
}

std::vector<std::string> describe_plan(const TrainPlan& p, const ModelConfig& config) {
  const TrainMemoryRequest& s = p.shape();
  std::vector<std::string> lines = {
      fmt::format("model: {}, {} parameters, {} active; products in {}{}", config.family,
                  count_text(config.total_parameters()), count_text(config.active_parameters()), name_of(s.operand),
                  p.why_operand.empty() ? "" : fmt::format(" ({})", p.why_operand)),
      fmt::format("steps: {} of at most {} tokens, in {} slices", p.steps, s.rank_tokens * s.world_size, p.slices)};
  std::ranges::copy(describe_layout(p.layout), std::back_inserter(lines));
  lines.push_back(fmt::format("disk: at most {}", bytes_text(p.disk_bytes)));
  lines.push_back(fmt::format("numerics: {}", p.numerics));
  return lines;
}

}  // namespace switchyard
