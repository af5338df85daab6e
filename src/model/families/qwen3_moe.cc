// Qwen3-MoE: softmax router, per-head RMSNorm on q and k, dense layers in between (decoder_sparse_step,
// mlp_only_layers). transformers/models/qwen3_moe.
#include <algorithm>

#include "model/family.h"

namespace switchyard::families {
namespace {

ModelConfig read(ConfigReader& reader) {
  ModelConfig c = read_common_fields(reader);
  MoeConfig moe{.router = read_router(reader)};
  moe.expert_size = reader.integer({"moe_intermediate_size"}, 1, 1 << 20);
  moe.router.renormalise = reader.flag_or("norm_topk_prob", false);  // transformers' class default
  const DenseConfig dense{reader.integer({"intermediate_size"}, 1, 1 << 22)};

  const int64_t step = reader.integer_or("decoder_sparse_step", 1, 1, 1 << 20);
  const auto dense_only = reader.integers_or_empty("mlp_only_layers");
  const int64_t num_layers = c.num_layers();
  reader.require({"mlp_only_layers", "num_hidden_layers"},
                 std::ranges::all_of(dense_only, [&](int64_t l) { return 0 <= l && l < num_layers; }),
                 fmt::format("layers 0 … {}", num_layers - 1));
  for (int64_t l = 0; l < num_layers; ++l) {
    LayerConfig& layer = c.layers[static_cast<size_t>(l)];
    layer.attention.qk_norm = true;
    const bool listed = std::ranges::find(dense_only, l) != dense_only.end();
    if (!listed && (l + 1) % step == 0)
      layer.feed_forward = moe;
    else
      layer.feed_forward = dense;
  }

  reader.only("use_qk_norm", true);
  reader.only_full_window(c.max_positions, false);
  return c;
}

constexpr Spelling kVisionLanguage[] = {{"model.", "model.language_model."}};

constexpr TensorLayout kLayouts[] = {
    {},
    {.experts = ExpertLayout::fused},
    // Qwen3-VL writes its text model under this prefix, and the experts as [in, out].
    {.spellings = kVisionLanguage, .experts = ExpertLayout::fused_transposed},
};

}  // namespace

extern const Family qwen3_moe{"qwen3_moe", read, kLayouts};

}  // namespace switchyard::families
