// Mixtral: softmax router, always renormalised; experts w1 (gate), w3 (up), w2 (down) under block_sparse_moe. MATH §1,
// §2 layout 5.
#include "model/family.h"

namespace switchyard::families {
namespace {

ModelConfig read(ConfigReader& reader) {
  ModelConfig c = read_common_fields(reader);
  read_expert_counts(reader, c);
  c.expert_ffn_size = reader.integer({"intermediate_size"}, 1, 1 << 20);
  c.renormalise = true;
  c.moe_layer.assign(static_cast<size_t>(c.num_layers), true);
  reader.only_full_window(c.max_positions, true);
  reader.only("norm_topk_prob", true);
  reader.only("use_qk_norm", false);
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
