// A model's weights in memory: this rank's experts and its own copy of everything else. parameters.cc says which tensor
// goes where.
#pragma once

#include <vector>

#include "kernels/products/grouped_ffn.h"
#include "kernels/products/packed_matrix.h"
#include "model/config.h"

namespace switchyard {

struct AttentionWeights {
  OwnedTensor norm, q_norm, k_norm;  ///< [d], [head_dim], [head_dim] f32; the latter two only with qk_norm
  PackedMatrix q, k, v, o;
};

struct LayerWeights {
  AttentionWeights attention;
  OwnedTensor ffn_norm;             ///< [d] f32
  PackedMatrix router;              ///< [E, d] f32; moe layers
  std::vector<FfnWeights> experts;  ///< this rank's, in order; moe layers
  std::vector<FfnWeights> shared;   ///< one or none
  std::vector<FfnWeights> dense;    ///< one in dense layers
};

struct ModelWeights {
  ModelConfig config;
  DType operand = DType::f32;  ///< of products; the router is always f32
  OwnedTensor embed;           ///< [vocab, d] operand
  std::vector<LayerWeights> layers;
  OwnedTensor norm;   ///< [d] f32
  PackedMatrix head;  ///< [vocab, d]
};

/// All layers, with places for `num_experts` experts each, and no tensor yet.
ModelWeights empty_weights(const ModelConfig& config, DType operand, int num_experts);

/// The same with every tensor's shape and no memory, to measure with.
ModelWeights shape_only_weights(const ModelConfig& config, DType operand, int num_experts, Device device);

}  // namespace switchyard
