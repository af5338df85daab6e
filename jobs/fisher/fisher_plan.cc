#include "jobs/fisher/fisher_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <numeric>

#include "base/text.h"
#include "jobs/numerics.h"
#include "jobs/options/limits.h"
#include "train/checkpoints/checkpoints.h"
#include "train/parameters/step_slices.h"

namespace switchyard {
namespace {

/// Of the largest step on so many ranks.
TrainMemoryRequest sized(TrainMemoryRequest shape, const FisherPasses& passes, int world_size,
                         const std::function<void()>& poll) {
  shape.world_size = world_size;
  shape.rank_tokens = shape.slice_tokens = shape.longest = 1;
  for (int64_t step = 1; step <= passes.steps(); ++step) {
    poll();
    const auto [first, count] = passes.of_step(step);
    std::vector<int64_t> before{0};
    for (int64_t i = 0; i < count; ++i) {
      const int64_t tokens = passes.tokens(first + i);
      shape.slice_tokens = std::max(shape.slice_tokens, tokens);
      before.push_back(before.back() + tokens);
    }
    const std::vector<int64_t> ends = a_record_a_slice(count, shape.num_slices);
    for (int rank = 0; rank < world_size; ++rank) {
      const SliceRange slices = slices_of_rank(shape.num_slices, rank, world_size);
      shape.rank_tokens =
          std::max(shape.rank_tokens, before[static_cast<size_t>(ends[static_cast<size_t>(slices.end)])] -
                                          before[static_cast<size_t>(ends[static_cast<size_t>(slices.first)])]);
    }
  }
  shape.longest = shape.slice_tokens;
  return shape;
}

}  // namespace

FisherPlan plan_fisher(const FisherOptions& options, const ModelConfig& config, const FisherPasses& passes,
                       const MachineShare& machine, const RunDirectory& run, const std::function<void()>& poll) {
  if (passes.steps() > kMaxSteps)
    fail(ExitCode::usage, "{} passes of records, {} in a step, are {} steps, expected at most {}: fewer --draws",
         passes.count(), options.step_records, passes.steps(), kMaxSteps);
  FisherPlan plan;
  const OperandChoice operand = choose_operand(options, run);
  plan.why_operand = operand.why;
  plan.numerics = numerics_of(config, operand.type).id;
  plan.slices = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(options.step_records)));
  for (int64_t i = 0; i < passes.count(); ++i) {
    if (i % options.step_records == 0) poll();
    plan.tokens += passes.tokens(i);
  }
  const TrainMemoryRequest wanted{
      .operand = operand.type, .num_slices = plan.slices, .batch_tokens = options.batch_tokens, .squares = true};
  plan.layout = plan_pass_layout(
      fmt::format("Fisher information of {}", config.family), config, options, machine, wanted,
      [&](const TrainMemoryRequest& shape, int world_size) { return sized(shape, passes, world_size, poll); });
  plan.units = WorkUnits::of_items(passes.count(), options.step_records);
  plan.units.name = "steps";
  plan.units.items = passes.passes_per_target() > 1 ? "passes" : "records";
  plan.units.files = fmt::format("{}/step-*", Checkpoints::kFolder);
  plan.units.first = 1;
  plan.units.in_order = true;
  plan.units.results = "fisher.h5";
  // A checkpoint has two numbers of each parameter, and is replaced by the next one; the result has one.
  const auto parameters = static_cast<uint64_t>(ParameterSpace(config).num_elements());
  plan.disk_bytes = parameters * (2 * 2 + 2) * sizeof(float);
  return plan;
}

std::vector<std::string> describe_plan(const FisherPlan& p, const FisherOptions& options, const ModelConfig& config,
                                       const FisherPasses& passes) {
  const TrainMemoryRequest& s = p.layout.shape;
  std::vector<std::string> lines = {
      fmt::format("model: {}, {} parameters, {} active; products in {}{}", config.family,
                  count_text(config.total_parameters()), count_text(config.active_parameters()), name_of(s.operand),
                  p.why_operand.empty() ? "" : fmt::format(" ({})", p.why_operand)),
      fmt::format("labels: {}; {} records, {} passes with {} tokens, in {} steps", options.labels, passes.num_records(),
                  passes.count(), count_text(p.tokens), passes.steps())};
  std::ranges::copy(describe_layout(p.layout), std::back_inserter(lines));
  lines.push_back(fmt::format("disk: at most {}", bytes_text(p.disk_bytes)));
  lines.push_back(fmt::format("numerics: {}", p.numerics));
  return lines;
}

}  // namespace switchyard
