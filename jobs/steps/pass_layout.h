// How ranks share a pass through a model and back, and what it takes of their memory.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "jobs/options/option_groups.h"
#include "model/layout.h"
#include "run/run_directory.h"
#include "train/train_memory.h"

namespace switchyard {

/// In which type products are, and why, where nobody asked for it.
struct OperandChoice {
  DType type = DType::f32;
  std::string why;
};
/// What the options say; where they leave it open, what the run began with, else f32: gradients are small numbers.
OperandChoice choose_operand(const MachineOptions& options, const RunDirectory& run);

struct PassLayout {
  TrainMemoryRequest shape;
  TrainMemory memory;
  MemoryBound bound;
  int ranks_on_host = 1;

  int num_groups() const { return shape.world_size / shape.ep; }
};

/// wanted: but for the ranks and what they have of a step, which `sized` adds for a world of so many. Experts are
/// shared by the smallest groups whose memory suffices, and products are kept where there is memory for them. Fails
/// (usage; environment where it does not fit, with the number of ranks that would do). what: for errors: "training
/// qwen3_moe".
PassLayout plan_pass_layout(const std::string& what, const ModelConfig& config, const MachineOptions& options,
                            const MachineShare& machine, TrainMemoryRequest wanted,
                            const std::function<TrainMemoryRequest(TrainMemoryRequest, int world_size)>& sized);

/// For a person, as plans say it.
std::vector<std::string> describe_layout(const PassLayout& layout);

}  // namespace switchyard
