// Which dense products a model makes: what a GPU's library is asked to multiply.
#pragma once

#include <vector>

#include "base/dtype.h"
#include "model/config/model_config.h"

namespace switchyard {

/// x Wᵀ with W [n, k].
struct DenseProduct {
  int64_t n = 0, k = 0;
  DType operand = DType::f32;
  auto operator<=>(const DenseProduct&) const = default;
};

/// Of a decoder with products of `operand`, each once, in order. Found by running one on shapes alone.
std::vector<DenseProduct> dense_products(const ModelConfig& config, DType operand);

}  // namespace switchyard
