// Our own reference family: softmax over the k largest logits, and a shared expert beside the chosen ones. MATH §1.
#include "model/family.h"

namespace switchyard::families {
namespace {

ModelConfig read(ConfigReader& reader) {
  ModelConfig c = read_common_fields(reader);
  read_expert_counts(reader, c);
  c.expert_ffn_size = reader.integer({"moe_intermediate_size"}, 1, 1 << 20);
  c.shared_ffn_size = reader.integer({"num_shared_experts", "n_shared_experts"}, 0, 1 << 10) * c.expert_ffn_size;
  c.renormalise = true;
  c.moe_layer.assign(static_cast<size_t>(c.num_layers), true);
  reader.only("shared_expert_intermediate_size", c.shared_ffn_size);
  reader.only_full_window(c.max_positions, true);
  reader.only("norm_topk_prob", true);
  reader.only("use_qk_norm", false);
  return c;
}

constexpr TensorLayout kLayouts[] = {
    {.prefix = "model.", .ffn = "mlp"},
    {.prefix = "model.", .ffn = "mlp", .experts = ExpertLayout::fused},
};

}  // namespace

const Family switchyard{"switchyard", read, kLayouts};

}  // namespace switchyard::families
