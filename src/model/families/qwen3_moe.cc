// Qwen3-MoE: softmax router, per-head RMSNorm on q and k, dense layers in between (decoder_sparse_step,
// mlp_only_layers). transformers/models/qwen3_moe; MATH §1, §2 layouts 1-3.
#include <algorithm>

#include "model/family.h"

namespace switchyard::families {
namespace {

ModelConfig read(ConfigReader& reader) {
  ModelConfig c = read_common_fields(reader);
  c.qk_norm = true;
  read_expert_counts(reader, c);
  c.expert_ffn_size = reader.integer({"moe_intermediate_size"}, 1, 1 << 20);
  c.renormalise = reader.flag_or("norm_topk_prob", false);  // transformers' class default
  const int64_t dense = reader.integer({"intermediate_size"}, 1, 1 << 22);

  const int64_t step = reader.integer_or("decoder_sparse_step", 1, 1, 1 << 20);
  const auto dense_only = reader.integers_or_empty("mlp_only_layers");
  reader.require(
      {"mlp_only_layers", "num_hidden_layers"},
      std::all_of(dense_only.begin(), dense_only.end(), [&](int64_t l) { return 0 <= l && l < c.num_layers; }),
      fmt::format("layers 0 … {}", c.num_layers - 1));
  for (int64_t layer = 0; layer < c.num_layers; ++layer) {
    const bool listed = std::find(dense_only.begin(), dense_only.end(), layer) != dense_only.end();
    c.moe_layer.push_back(!listed && (layer + 1) % step == 0);
  }
  if (c.num_moe_layers() < c.num_layers) c.dense_ffn_size = dense;

  reader.only("use_qk_norm", true);
  reader.only_full_window(c.max_positions, false);
  return c;
}

constexpr TensorLayout kLayouts[] = {
    {.prefix = "model.", .ffn = "mlp"},
    {.prefix = "model.", .ffn = "mlp", .experts = ExpertLayout::fused},
    // Qwen3-VL writes its text model under this prefix, and the experts as [in, out].
    {.prefix = "model.language_model.", .ffn = "mlp", .experts = ExpertLayout::fused_transposed},
};

}  // namespace

const Family qwen3_moe{"qwen3_moe", read, kLayouts};

}  // namespace switchyard::families
