// Qwen3-MoE: softmax router, per-head RMSNorm on q and k, dense layers in between (decoder_sparse_step,
// mlp_only_layers). transformers/models/qwen3_moe.
#include "model/config/families/qwen3_moe.h"

#include <algorithm>

#include "model/config/families/shared_fields.h"

namespace switchyard::families {

ModelConfig read_qwen3_moe(ConfigReader& reader) {
  reader.assume({{"sliding_window", 4096}});
  ModelConfig c = read_sizes(reader);
  AttentionConfig attention = read_heads(reader, c.hidden_size);
  attention.input_bias = attention.output_bias = reader.flag_or("attention_bias", false);
  attention.qk_norm = QkNorm::before_rotary;
  attention.rotary = read_rotary(reader, c, attention.head_dim);
  attention.span = read_window_if_used(reader, c, false);
  MoeConfig moe{.router = read_router(reader)};
  moe.expert_size = reader.integer({"moe_intermediate_size"}, 1, 1 << 20);
  moe.router.renormalise = reader.flag_or("norm_topk_prob", false);  // transformers' class default

  const int64_t step = reader.integer_or("decoder_sparse_step", 1, 1, 1 << 20);
  const auto dense_only = reader.integers_or_empty("mlp_only_layers");
  const int64_t num_layers = c.num_layers();
  reader.require({"mlp_only_layers", "num_hidden_layers"},
                 std::ranges::all_of(dense_only, [&](int64_t l) { return 0 <= l && l < num_layers; }),
                 fmt::format("layers 0 … {}", num_layers - 1));
  const DenseConfig dense{reader.integer({"intermediate_size"}, 1, 1 << 22)};
  for (int64_t l = 0; l < num_layers; ++l) {
    LayerConfig& layer = c.layers[static_cast<size_t>(l)];
    layer.attention = attention;
    const bool listed = std::ranges::find(dense_only, l) != dense_only.end();
    if (!listed && (l + 1) % step == 0)
      layer.feed_forward = moe;
    else
      layer.feed_forward = dense;
  }
  reader.only("use_qk_norm", true);
  only_full_attention(reader);
  return c;
}

namespace {

constexpr TensorLayout kLayouts[] = {{}, {.experts = ExpertLayout::fused}, kVisionLanguage};

}  // namespace

extern const Family qwen3_moe{"qwen3_moe", read_qwen3_moe, kLayouts};

}  // namespace switchyard::families
