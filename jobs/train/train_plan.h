// Everything a training run decides before it starts, from the options, the model, the data and the machine.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "jobs/input/input_size.h"
#include "jobs/steps/first_weights.h"
#include "jobs/steps/pass_layout.h"
#include "jobs/train/chosen_parameters.h"
#include "jobs/train/options.h"
#include "jobs/train/step_loader.h"
#include "train/trainer.h"

namespace switchyard {

struct TrainPlan {
  std::string why_operand;  ///< where nobody asked for it
  std::string numerics;     ///< the numerics id
  int64_t steps = 0, slices = 0;
  Schedule schedule;
  PassLayout layout;
  WorkUnits units;          ///< steps of records
  uint64_t disk_bytes = 0;  ///< checkpoints, metrics, the exported model

  const TrainMemoryRequest& shape() const { return layout.shape; }
};

/// Of the plan's layout.
TrainerOptions trainer_options(const TrainOptions& options, const TrainPlan& plan, const ChosenParameters& chosen);

/// Loads the weights that a run begins with, the model's or new ones, and holds them where they are to be held.
/// Collective; fails (input) on all ranks alike.
FirstWeights load_first_weights(Trainer& trainer, const TrainOptions& options, const ChosenParameters& chosen);

/// What a plan has to know of the data.
struct DataSummary {
  std::vector<int64_t> sizes;  ///< [datasets] records
  int64_t mean_step_tokens = 0;
  int64_t longest_held_out = 0;  ///< tokens of the longest record to evaluate on; 0: there are none
  /// The most of steps 1 … `steps`, in so many slices on so many ranks.
  std::function<StepSizes(int64_t steps, int64_t slices, int ranks)> largest_step = {};
};
/// Exactly. All outlive what is returned.
DataSummary summarise(const TrainOptions& options, const TrainingData& data, const TrainingData* eval,
                      const DataOrder& order, const std::function<void()>& poll);
/// As far as it can be told of files that are not imported yet.
DataSummary estimate(const TrainOptions& options, const std::vector<InputSize>& data,
                     const std::vector<InputSize>& eval);

/// trained_share: of all parameters. Fails (usage; environment where it does not fit into memory, with the number of
/// ranks that would do). All ranks decide alike, without asking each other. `run`: a manifest there decides what "auto"
/// means.
TrainPlan plan_training(const TrainOptions& options, const ModelConfig& config, const DataSummary& data,
                        const MachineShare& machine, const RunDirectory& run, double trained_share);

/// The plan for a person: --dry-run and the start of the log.
std::vector<std::string> describe_plan(const TrainPlan& plan, const ModelConfig& config);

}  // namespace switchyard
