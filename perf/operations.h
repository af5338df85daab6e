// How many operations scoring takes, to hold against what a machine can do: those of products alone.
#pragma once

#include "model/config/model_config.h"

namespace switchyard::bench {

/// Of a token on its way through the layers: two for each weight that it is multiplied with.
double layer_operations(const ModelConfig& config);
/// The same for scores and values, of the pairs of query and key that see each other; a mean over a record of `length`.
double attention_operations(const ModelConfig& config, int64_t length);
/// Of a token that is scored: the head.
double head_operations(const ModelConfig& config);

}  // namespace switchyard::bench
