#include "jobs/train/train_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/text.h"
#include "comm/collectively.h"
#include "jobs/numerics.h"
#include "model/checkpoint/delta_check.h"
#include "train/checkpoints.h"
#include "train/step_slices.h"

namespace switchyard {
namespace {

constexpr std::string_view kAsBegun = "as this run began";

struct Operand {
  DType type = DType::f32;
  std::string why;
};

/// What the options say; where they leave it open, what the run began with, else f32: gradients are small numbers.
Operand operand_for(const TrainOptions& options, const RunDirectory& run) {
  if (options.dtype != "auto") return {operand_of(options.dtype), ""};
  if (run.has_manifest())
    return {operand_of(require_string(run.read_manifest()["info"], "dtype", run.manifest_path().native())),
            std::string(kAsBegun)};
  return {DType::f32, "what training takes unless told otherwise"};
}

/// On so many ranks; not yet in groups.
TrainMemoryRequest shape_for(TrainMemoryRequest shape, int world_size, const DataSummary& data, int64_t steps) {
  const StepSizes sizes = data.largest_step(steps, shape.num_slices, world_size);
  shape.world_size = world_size;
  shape.rank_tokens = sizes.rank_tokens;
  shape.slice_tokens = sizes.slice_tokens;
  shape.longest = std::max(shape.evaluation.max_record, sizes.record_tokens);
  return shape;
}

/// The largest groups that so many ranks can be in.
int largest_group(int world_size, int num_experts) {
  int ep = std::min(world_size, num_experts);
  while (world_size % ep != 0) --ep;
  return ep;
}

}  // namespace

TrainerOptions trainer_options(const TrainOptions& options, const TrainPlan& plan) {
  return {.shape = plan.shape,
          .balance = options.train_router ? options.balance : 0,
          .optimiser = {.beta1 = options.adam_beta1,
                        .beta2 = options.adam_beta2,
                        .epsilon = options.adam_epsilon,
                        .weight_decay = options.weight_decay,
                        .max_grad_norm = options.max_grad_norm,
                        .train_router = options.train_router,
                        .router_bias_update_rate = options.router_bias_update_rate}};
}

FirstWeights load_first_weights(Trainer& trainer, const TrainOptions& options) {
  Communicator& world = trainer.ranks().world();
  FirstWeights first;
  collectively(world, [&] {
    if (options.init.empty()) return trainer.load(options.model, options.deltas());
    const InitialWeights initial{static_cast<uint64_t>(options.seed), read_initializer_range(options.init)};
    trainer.initialise(initial);
    first.model = fmt::format("new: seed {}, range {:g}", initial.seed, initial.range);
  });
  Hash128 hash;
  collectively(world, [&] {
    if (!options.init.empty()) return;
    hash = trainer.model_hash();
    first = {hash.hex(), trainer.master_hash()};
  });
  collectively(world, [&] {
    if (world.broadcast_string(first.model, 0) != first.model)
      fail(ExitCode::input, "{}: expert groups read different models; is the directory shared?", options.model);
    if (world.rank() == 0)
      require_result(trainer.model().weights().config, options.model, options.deltas(), hash, trainer.stream().poll);
  });
  return first;
}

DataSummary summarise(const TrainOptions& options, const TrainingData& data, const TrainingData* eval,
                      const DataOrder& order) {
  DataSummary summary{.sizes = data.sizes(),
                      .mean_step_tokens = data.mean_step_tokens(options.step_records, options.file_weights()),
                      .largest_step = [&data, &order](int64_t steps, int64_t slices, int ranks) {
                        return largest_step(data, order, steps, slices, ranks);
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
                        const MachineShare& machine, const RunDirectory& run) {
  TrainPlan plan;
  const Operand operand = operand_for(options, run);
  plan.why_operand = operand.why;
  plan.numerics = numerics_id(operand.type);
  plan.steps = options.num_steps(DataOrder(options.order(data.sizes)));
  plan.schedule = options.schedule(plan.steps);
  plan.slices = options.slices > 0 ? options.slices : default_slices(data.mean_step_tokens);
  plan.ranks_on_host = machine.ranks_on_host;
  plan.bound = machine.memory;
  const LayoutWishes wishes = options.wishes();
  if (wishes.memory_bytes) plan.bound = {*wishes.memory_bytes, "--memory-gib"};
  plan.shape.operand = operand.type;
  plan.shape.threads = wishes.threads > 0 ? wishes.threads : machine.cores;
  plan.shape.num_slices = plan.slices;
  plan.shape.batch_tokens = options.batch_tokens;
  plan.shape.exchange_bytes = options.exchange_bytes;
  if (const int64_t longest = data.longest_held_out; longest > 0)
    plan.shape.evaluation = {.max_tokens = std::max(options.batch_tokens, longest), .max_record = longest};

  plan.shape = shape_for(plan.shape, machine.world_size, data, plan.steps);
  if (wishes.ep != 0 && (machine.world_size % wishes.ep != 0 || wishes.ep > config.num_experts()))
    fail(ExitCode::usage, "--ep is {}: it must divide the {} ranks and be at most the {} experts", wishes.ep,
         machine.world_size, config.num_experts());
  const std::vector<int> sizes =
      wishes.ep != 0 ? std::vector{wishes.ep} : expert_group_sizes(machine, config.num_experts());
  for (const int size : sizes) {
    plan.shape.ep = size;
    plan.memory = plan_train_memory(config, plan.shape);
    if (plan.memory.peak() <= plan.bound.bytes) break;
  }
  if (plan.memory.peak() > plan.bound.bytes) {
    constexpr int kMostRanks = 1 << 14;
    int enough = machine.world_size;
    size_t needed = plan.memory.peak();
    while (needed > plan.bound.bytes && enough < kMostRanks) {
      enough *= 2;
      TrainMemoryRequest shape = shape_for(plan.shape, enough, data, plan.steps);
      shape.ep = largest_group(enough, config.num_experts());
      needed = plan_train_memory(config, shape).peak();
    }
    const TrainMemory& m = plan.memory;
    fail(ExitCode::environment,
         "memory: training {} in {} on {} ranks needs {} per rank (weights {}, state {}, activations {}, sums {}, "
         "scratch {}), but a rank may use {} ({}); {}",
         config.family, name_of(operand.type), machine.world_size, bytes_text(m.peak()), bytes_text(m.weights),
         bytes_text(m.state), bytes_text(m.activations), bytes_text(m.sums), bytes_text(m.scratch),
         bytes_text(plan.bound.bytes), plan.bound.source,
         needed <= plan.bound.bytes ? fmt::format("{} such ranks would do", enough)
                                    : "no number of such ranks would do: fewer --step-records, or --dtype bf16");
  }
  TrainMemoryRequest keeping = plan.shape;
  keeping.keep_products = true;
  if (const TrainMemory memory = plan_train_memory(config, keeping); memory.peak() <= plan.bound.bytes) {
    plan.shape = keeping;
    plan.memory = memory;
  }

  plan.units = WorkUnits::of_items(plan.steps * options.step_records, options.step_records);
  plan.units.name = "steps";
  plan.units.items = "records";
  plan.units.files = fmt::format("{}/step-*", Checkpoints::kFolder);
  plan.units.first = 1;
  plan.units.in_order = true;
  plan.units.results = "model";
  const auto parameters = static_cast<uint64_t>(ParameterSpace(config).num_elements());
  const int64_t kept = options.save_total_limit > 0 ? options.save_total_limit
                       : options.save_steps > 0     ? plan.steps / options.save_steps
                                                    : 1;
  plan.disk_bytes = static_cast<uint64_t>(kept + 2) * parameters * 3 * sizeof(float) + parameters * sizeof(float) +
                    static_cast<uint64_t>(plan.steps) * 1024;
  return plan;
}

std::vector<std::string> describe_plan(const TrainPlan& p, const ModelConfig& config) {
  const TrainMemoryRequest& s = p.shape;
  const TrainMemory& m = p.memory;
  return {
      fmt::format("model: {}, {} parameters, {} active; products in {}{}", config.family,
                  count_text(config.total_parameters()), count_text(config.active_parameters()), name_of(s.operand),
                  p.why_operand.empty() ? "" : fmt::format(" ({})", p.why_operand)),
      fmt::format("steps: {} of at most {} tokens, in {} slices", p.steps, s.rank_tokens * s.world_size, p.slices),
      fmt::format("layout: {} ranks = {} groups × {} expert ranks, {} threads each, {} ranks on this host",
                  s.world_size, p.num_groups(), s.ep, s.threads, p.ranks_on_host),
      fmt::format(
          "memory per rank: {} of {} (weights {}, state {}, activations {}, sums {}, scratch {}, files {}); bound: {}",
          bytes_text(m.peak()), bytes_text(p.bound.bytes), bytes_text(m.weights), bytes_text(m.state),
          bytes_text(m.activations), bytes_text(m.sums), bytes_text(m.scratch), bytes_text(m.files), p.bound.source),
      fmt::format("disk: at most {}", bytes_text(p.disk_bytes)),
      fmt::format("numerics: {}", p.numerics),
  };
}

}  // namespace switchyard
