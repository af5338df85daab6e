// A model's weights without a checkpoint, for benchmarks of whole configurations and for tests.
#pragma once

#include "model/checkpoint/loader.h"

namespace switchyard {

/// Matrices uniform in ±0.035, norms in 1 ± 0.1. A value is a function of its tensor's canonical name (Hugging Face's,
/// one tensor an expert and projection) and its index there: the same whatever the number of ranks, and on every
/// device. On a CUDA device it is made there. Nothing is read: no hashes.
///
/// Beside the weights it takes, for a moment, an f32 copy of the largest matrix on a CUDA device, or one a thread.
LoadedModel random_model(const Stream& stream, const ModelConfig& config, DType operand,
                         const ExpertPlacement& placement, int rank);

}  // namespace switchyard
