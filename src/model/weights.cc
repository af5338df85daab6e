#include "model/weights.h"

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

}  // namespace switchyard
