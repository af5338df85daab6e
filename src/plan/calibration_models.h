// Small models that have every kind of work in them, in sizes of real ones.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config/model_config.h"

namespace switchyard {

/// One layer of each kind: heads of 64 and of 128, all keys or a window of them, experts of two sizes, a dense layer,
/// latent attention with a shared expert. num_experts: of each layer that has any.
ModelConfig calibration_model(int64_t hidden_size, int num_experts);

}  // namespace switchyard
