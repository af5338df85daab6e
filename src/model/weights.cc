#include "model/weights.h"

#include <numeric>

#include "model/parameters.h"

namespace switchyard {

ModelWeights empty_weights(const ModelConfig& config, DType operand, int num_experts) {
  ModelWeights weights;
  weights.config = config;
  weights.operand = operand;
  for (const LayerConfig& c : config.layers) {
    LayerWeights& layer = weights.layers.emplace_back();
    if (const MoeConfig* moe = c.moe()) {
      layer.experts.resize(static_cast<size_t>(num_experts));
      layer.shared.resize(moe->shared_size > 0 ? 1 : 0);
    } else {
      layer.dense.resize(1);
    }
  }
  return weights;
}

ModelWeights shape_only_weights(const ModelConfig& config, DType operand, int num_experts, Device device) {
  ModelWeights weights = empty_weights(config, operand, num_experts);
  std::vector<int> experts(static_cast<size_t>(num_experts));
  std::iota(experts.begin(), experts.end(), 0);
  for_each_tensor(config, experts, &weights, [&](const StoredTensor& t) {
    if (t.packed)
      *t.matrix = t.matrix_of_shape(operand, device);
    else
      *t.tensor = OwnedTensor::of_shape(t.shape(), t.dtype(operand), device);
  });
  return weights;
}

}  // namespace switchyard
