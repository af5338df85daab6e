// A model's weights in memory: this rank's experts and its own copy of everything else. parameters.cc says which tensor
// goes where.
#pragma once

#include <vector>

#include "kernels/products/grouped_ffn.h"
#include "kernels/products/packed_matrix.h"
#include "model/config/model_config.h"

namespace switchyard {

/// A product and what is added to it.
struct Linear {
  PackedMatrix weight;  ///< [n, k]
  OwnedTensor bias;     ///< [n] f32, or nothing
};

struct AttentionWeights {
  OwnedTensor norm, q_norm,
      k_norm;                  ///< [d], [head_dim], [head_dim] f32; the latter two only with QkNorm::before_rotary
  Linear q, k, v, o;           ///< k and v only with direct projections
  Linear q_latent, kv_latent;  ///< [query_rank, d]; [kv_rank + turned part, d]: of latent projections
  OwnedTensor q_latent_norm, kv_latent_norm;  ///< [query_rank], [kv_rank] f32; of queries only where q takes a latent
  PackedMatrix kv;                            ///< [heads · (head_dim − turned part + value_dim), kv_rank]
  OwnedTensor sinks;                          ///< [heads] f32
};

struct LayerWeights {
  AttentionWeights attention;
  OwnedTensor ffn_norm;             ///< [d] f32
  Linear router;                    ///< [E, d] f32; moe layers
  OwnedTensor selection_bias;       ///< [E] f32
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
