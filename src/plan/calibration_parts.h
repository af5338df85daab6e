// What calibration is made of.
#pragma once

#include "plan/calibration.h"
#include "train/trainer.h"

namespace switchyard {

inline constexpr int kCalibrationRepetitions = 3;  ///< behind one that warms up
inline constexpr int64_t kCalibratedExchangeBytes = int64_t{256} << 20, kCalibratedSlices = 8;

// What all ranks of the world do at the same time, each adding to rates of its own what it has taken. Collective.

/// Batches of a model whose experts `group` shares.
void time_scoring(Communicator& world, Communicator& group, const CalibrationRequest& request,
                  const ModelConfig& config, DType operand, Rates& rates);
/// Steps of a model that all ranks of `group` train.
void time_training(Communicator& world, Communicator& group, const CalibrationRequest& request,
                   const ModelConfig& config, DType operand, Rates& rates);
/// Memory copied, by all of a rank's threads.
void time_memory(Communicator& world, const CalibrationRequest& request, Rates& rates);
/// A model's directory, written by the world's first rank and read by all; checkpoints, and files that are committed.
void time_files(Communicator& world, const CalibrationRequest& request, Rates& rates);

/// tokens: of a rank's longest step
TrainMemoryRequest training_shape(const CalibrationRequest& request, DType operand, int ranks, int64_t tokens);

}  // namespace switchyard
