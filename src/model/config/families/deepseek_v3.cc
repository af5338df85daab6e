// DeepSeek-V3, and Kimi-K2: multi-head latent attention, here expanded; sigmoid router with groups.
// transformers/models/deepseek_v3.
#include <cmath>

#include "model/config/families/shared_fields.h"
#include "model/config/families/sigmoid_experts.h"

namespace switchyard::families {
namespace {

AttentionConfig read_attention(ConfigReader& reader, const ModelConfig& c) {
  AttentionConfig a;
  a.num_heads = reader.integer({"num_attention_heads"}, 1, 1 << 16);
  a.num_kv_heads = reader.integer_or("num_key_value_heads", a.num_heads, 1, 1 << 16);
  reader.require({"num_attention_heads", "num_key_value_heads"}, a.num_kv_heads == a.num_heads,
                 "as many of each, for a latent is expanded to keys and values of every head");
  const int64_t plain = reader.integer({"qk_nope_head_dim"}, 1, 1 << 14);
  const int64_t turned = reader.integer({"qk_rope_head_dim"}, 2, 1 << 14);
  reader.require({"qk_rope_head_dim"}, turned % 2 == 0, "an even number, for rotary embedding turns pairs");
  a.head_dim = plain + turned;
  a.value_dim = reader.integer({"v_head_dim"}, 1, 1 << 14);
  a.projections = LatentProjections{.query_rank = reader.integer_or("q_lora_rank", 0, 1, 1 << 20),
                                    .kv_rank = reader.integer({"kv_lora_rank"}, 1, 1 << 20)};
  a.input_bias = a.output_bias = reader.flag_or("attention_bias", false);
  // What transformers computes and writes down.
  reader.only("qk_head_dim", a.head_dim);
  reader.only("head_dim", turned);

  a.rotary = read_rotary(reader, c, turned);
  a.rotary.first = plain;
  a.rotary.pairs = reader.flag_or("rope_interleave", true) ? RotaryPairs::adjacent : RotaryPairs::halves;
  a.scale = latent_score_factor(a.rotary) / std::sqrt(static_cast<double>(a.head_dim));
  return a;
}

ModelConfig read(ConfigReader& reader) {
  reader.assume({{"q_lora_rank", 1536},
                 {"n_group", 8},
                 {"topk_group", 4},
                 {"routed_scaling_factor", 2.5},
                 {"n_shared_experts", 1},
                 {"first_k_dense_replace", 3}});
  ModelConfig c = read_sizes(reader);
  const AttentionConfig attention = read_attention(reader, c);
  for (LayerConfig& layer : c.layers) layer.attention = attention;
  only_full_attention(reader);
  read_sigmoid_experts(reader, c);
  return c;
}

}  // namespace

extern const Family deepseek_v3{"deepseek_v3", read, kSigmoidLayouts};
extern const Family kimi_k2{"kimi_k2", read, kSigmoidLayouts};

}  // namespace switchyard::families
