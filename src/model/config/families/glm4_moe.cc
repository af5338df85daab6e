// GLM-4.5: grouped-query attention that turns a part of each head; experts as DeepSeek-V3 has them.
// transformers/models/glm4_moe.
#include "model/config/families/shared_fields.h"
#include "model/config/families/sigmoid_experts.h"

namespace switchyard::families {
namespace {

ModelConfig read(ConfigReader& reader) {
  reader.assume({{"n_shared_experts", 1}, {"first_k_dense_replace", 1}});
  ModelConfig c = read_sizes(reader);
  AttentionConfig attention = read_heads(reader, c.hidden_size);
  attention.input_bias = reader.flag_or("attention_bias", false);
  attention.qk_norm = reader.flag_or("use_qk_norm", false) ? QkNorm::before_rotary : QkNorm::none;
  attention.rotary = read_rotary(reader, c, attention.head_dim, 0.5);
  for (LayerConfig& layer : c.layers) layer.attention = attention;
  only_full_attention(reader);
  read_sigmoid_experts(reader, c);
  return c;
}

}  // namespace

extern const Family glm4_moe{"glm4_moe", read, kSigmoidLayouts};

}  // namespace switchyard::families
