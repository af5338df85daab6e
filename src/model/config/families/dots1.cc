// dots.llm1: grouped-query attention with per-head norms, the last layers with a window; experts as DeepSeek-V3 has
// them. transformers/models/dots1.
#include "model/config/families/shared_fields.h"
#include "model/config/families/sigmoid_experts.h"

namespace switchyard::families {
namespace {

ModelConfig read(ConfigReader& reader) {
  reader.assume({{"sliding_window", 4096}, {"max_window_layers", 62}, {"norm_topk_prob", false}});
  ModelConfig c = read_sizes(reader);
  AttentionConfig attention = read_heads(reader, c.hidden_size);
  attention.input_bias = attention.output_bias = reader.flag_or("attention_bias", false);
  attention.qk_norm = QkNorm::before_rotary;
  attention.rotary = read_rotary(reader, c, attention.head_dim);
  const int64_t first_sliding = reader.integer({"max_window_layers"}, 0, 1 << 20);
  const KeySpan window = read_window(reader, c);
  const auto types = read_layer_types(reader, c, {"sliding_attention", "full_attention"}, [&](int64_t i) {
    return i >= first_sliding ? "sliding_attention" : "full_attention";
  });
  for (size_t i = 0; i < c.layers.size(); ++i) {
    c.layers[i].attention = attention;
    if (types[i] == "sliding_attention") c.layers[i].attention.span = window;
  }
  read_sigmoid_experts(reader, c);
  return c;
}

}  // namespace

extern const Family dots1{"dots1", read, kSigmoidLayouts};

}  // namespace switchyard::families
