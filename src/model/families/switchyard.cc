// Our own reference family: softmax over the k largest logits, and a shared expert beside the chosen ones. MATH §1.
#include "model/family.h"

namespace switchyard::families {
namespace {

ModelConfig read(ConfigReader& reader) {
  ModelConfig c = read_common_fields(reader);
  c.num_experts = reader.integer({"num_experts", "num_local_experts"}, 1, 1 << 16);
  c.experts_per_token = reader.integer({"num_experts_per_tok"}, 1, c.num_experts);
  c.expert_ffn_size = reader.integer({"moe_intermediate_size"}, 1, 1 << 20);
  c.shared_ffn_size = reader.integer({"num_shared_experts"}, 0, 1 << 10) * c.expert_ffn_size;
  c.renormalise = true;
  c.moe_layer.assign(static_cast<size_t>(c.num_layers), true);
  return c;
}

constexpr TensorLayout kLayouts[] = {
    {.prefix = "model.", .ffn = "mlp"},
    {.prefix = "model.", .ffn = "mlp", .experts = ExpertLayout::fused},
};

}  // namespace

const Family switchyard{"switchyard", read, kLayouts};

}  // namespace switchyard::families
