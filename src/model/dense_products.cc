#include "model/dense_products.h"

#include <set>
#include <string_view>

#include "exchange/exchange.h"
#include "kernels/products/gemm.h"
#include "model/memory_plan.h"
#include "model/moe_layer.h"

namespace switchyard {

std::vector<DenseProduct> dense_products(const ModelConfig& config, DType operand) {
  const ExpertPlacement placement = ExpertPlacement::blocks(config.num_experts(), 1);
  const auto exchange =
      measuring_exchange(exchange_shape(config, placement, operand, 0, Device::cuda), config.num_experts());
  WorkLog works;
  measure_decoder(config, operand, {.max_tokens = 1, .max_record = 1, .logits = true}, *exchange, &works);
  std::set<DenseProduct> products;
  for (const auto& [work, seconds] : works)
    if (work.name == std::string_view(gemm.name))
      products.insert({static_cast<int64_t>(work.size[1]), static_cast<int64_t>(work.size[2]), work.dtype});
  return {products.begin(), products.end()};
}

}  // namespace switchyard
