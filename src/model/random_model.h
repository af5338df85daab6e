// A model's weights without a checkpoint: those that training from scratch begins with, and others for benchmarks of
// whole configurations and for tests.
#pragma once

#include <span>

#include "model/checkpoint/loader.h"
#include "model/parameters.h"

namespace switchyard {

/// Matrices uniform in ±0.035, norms in 1 ± 0.1. A value is a function of its tensor's canonical name (Hugging Face's,
/// one tensor an expert and projection) and its index there: the same whatever the number of ranks, and on every
/// device. On a CUDA device it is made there. Nothing is read: no hashes.
///
/// Beside the weights it takes, for a moment, an f32 copy of the largest matrix on a CUDA device, or one a thread.
LoadedModel random_model(const Stream& stream, const ModelConfig& config, DType operand,
                         const ExpertPlacement& placement, int rank);

/// How training from scratch begins.
struct InitialWeights {
  uint64_t seed = 0;
  double range = 0.02;  ///< read_initializer_range()
};

/// Initial values of these rows, as transformers draws them: norms 1, biases 0, all else normal with a standard
/// deviation of `range`. A value is a function of the seed, the parameter's canonical name and its index there alone.
void random_parameters(const InitialWeights& initial, const ParameterRows& rows, std::span<float> out);

}  // namespace switchyard
