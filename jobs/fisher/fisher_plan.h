// Everything a Fisher run decides before it starts, from the options, the model, the data and the machine.
#pragma once

#include <string>
#include <vector>

#include "jobs/fisher/passes.h"
#include "jobs/steps/pass_layout.h"

namespace switchyard {

struct FisherPlan {
  std::string why_operand;  ///< where nobody asked for it
  std::string numerics;     ///< the numerics id
  int64_t slices = 0;
  int64_t tokens = 0;  ///< that go through the model
  PassLayout layout;
  WorkUnits units;          ///< steps of records
  uint64_t disk_bytes = 0;  ///< checkpoints, and the result
};

/// Fails as plan_pass_layout() does. All ranks decide alike, without asking each other. `run`: a manifest there decides
/// what "auto" means.
FisherPlan plan_fisher(const FisherOptions& options, const ModelConfig& config, const FisherPasses& passes,
                       const MachineShare& machine, const RunDirectory& run, const std::function<void()>& poll);

/// For a person.
std::vector<std::string> describe_plan(const FisherPlan& plan, const FisherOptions& options, const ModelConfig& config,
                                       const FisherPasses& passes);

}  // namespace switchyard
