// Mixtral: softmax router, always renormalised; experts w1 (gate), w3 (up), w2 (down) under block_sparse_moe. MATH §1,
// §2 layout 5.
#include "model/family.h"

namespace switchyard::families {
namespace {

ModelConfig read(ConfigReader& reader) {
  ModelConfig c = read_common_fields(reader);
  c.num_experts = reader.integer({"num_local_experts", "num_experts"}, 1, 1 << 16);
  c.experts_per_token = reader.integer({"num_experts_per_tok"}, 1, c.num_experts);
  c.expert_ffn_size = reader.integer({"intermediate_size"}, 1, 1 << 20);
  c.renormalise = true;
  c.moe_layer.assign(static_cast<size_t>(c.num_layers), true);
  reader.only("sliding_window", nullptr);
  return c;
}

constexpr TensorLayout kLayouts[] = {
    {.prefix = "model.", .ffn = "block_sparse_moe", .gate = "w1", .up = "w3", .down = "w2"},
    // transformers 5 keeps the experts fused in memory; some tools save them so.
    {.prefix = "model.", .ffn = "mlp", .experts = ExpertLayout::fused},
};

}  // namespace

const Family mixtral{"mixtral", read, kLayouts};

}  // namespace switchyard::families
