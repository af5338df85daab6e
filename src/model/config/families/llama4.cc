// Llama-4's text model: most layers turn queries and keys and attend within chunks, the others do neither; one expert a
// token, whose input is scaled, beside a shared one. transformers/models/llama4.
#include <algorithm>

#include "model/config/families/shared_fields.h"
#include "model/config/family.h"

namespace switchyard::families {
namespace {

/// attn_temperature_tuning is a flag, or a number of which any but 0 is true.
bool is_tuned(ConfigReader& reader) {
  const Json* value = reader.value("attn_temperature_tuning");
  if (value != nullptr && value->is_number()) return *value != 0;
  return reader.flag_or("attn_temperature_tuning", true);
}

/// Which layers have rotary embedding: those with a 1 in no_rope_layers, despite its name.
std::vector<bool> read_turned_layers(ConfigReader& reader, int64_t num_layers) {
  const int64_t interval = reader.integer_or("no_rope_layer_interval", 4, 1, 1 << 20);
  const auto given = reader.integers_or_empty("no_rope_layers");
  reader.require({"no_rope_layers", "num_hidden_layers"}, given.empty() || std::ssize(given) == num_layers,
                 "a number for each layer");
  std::vector<bool> turned;
  for (int64_t i = 0; i < num_layers; ++i)
    turned.push_back(std::ssize(given) == num_layers ? given[static_cast<size_t>(i)] != 0 : (i + 1) % interval != 0);
  return turned;
}

std::vector<bool> read_moe_layers(ConfigReader& reader, int64_t num_layers) {
  const int64_t step = reader.integer_or("interleave_moe_layer_step", 1, 1, 1 << 20);
  const bool listed = reader.has("moe_layers");
  const auto list = reader.integers_or_empty("moe_layers");
  reader.require({"moe_layers", "num_hidden_layers"},
                 std::ranges::all_of(list, [&](int64_t l) { return 0 <= l && l < num_layers; }),
                 fmt::format("layers 0 … {}", num_layers - 1));
  std::vector<bool> moe;
  for (int64_t i = 0; i < num_layers; ++i)
    moe.push_back(listed ? std::ranges::find(list, i) != list.end() : (i + 1) % step == 0);
  return moe;
}

MoeConfig read_moe(ConfigReader& reader) {
  MoeConfig moe{.router = read_router(reader), .scaled_input = true};
  moe.router.scores = RouterScores::sigmoid;
  reader.require({"num_experts_per_tok"}, moe.router.experts_per_token == 1,
                 "1 (an expert's input is scaled, and a token's goes out once; more is not implemented)");
  moe.expert_size = moe.shared_size = reader.integer({"intermediate_size"}, 1, 1 << 20);
  return moe;
}

ModelConfig read(ConfigReader& reader) {
  reader.assume({{"head_dim", 128},
                 {"rms_norm_eps", 1e-5},
                 {"rope_theta", 500'000},
                 {"num_local_experts", 16},
                 {"num_experts_per_tok", 1},
                 {"attention_chunk_size", 8192}});
  ModelConfig c = read_sizes(reader);
  AttentionConfig attention = read_heads(reader, c.hidden_size);
  attention.input_bias = attention.output_bias = reader.flag_or("attention_bias", false);
  attention.rotary = {};
  RotaryConfig rotary = read_rotary(reader, c, attention.head_dim);
  rotary.pairs = RotaryPairs::adjacent;
  const QkNorm qk_norm = reader.flag_or("use_qk_norm", true) ? QkNorm::after_rotary : QkNorm::none;
  QueryTemperature temperature{.scale = reader.number_or("attn_scale", 0.1),
                               .floor = reader.positive_number_or("floor_scale", 8192)};
  if (!is_tuned(reader)) temperature = {};
  const KeySpan chunk{KeySpan::Kind::chunk, reader.integer_or("attention_chunk_size", 1, 1, INT64_MAX)};
  const std::vector<bool> turned = read_turned_layers(reader, c.num_layers()),
                          sparse = read_moe_layers(reader, c.num_layers());
  const auto types = read_layer_types(reader, c, {"chunked_attention", "full_attention"}, [&](int64_t i) {
    return turned[static_cast<size_t>(i)] ? "chunked_attention" : "full_attention";
  });
  const bool any_chunks = std::ranges::find(types, "chunked_attention") != types.end();
  if (any_chunks && reader.is_null("attention_chunk_size"))
    reader.refuse("attention_chunk_size", "a size for the layers that attend in chunks", nullptr);
  const MoeConfig moe = read_moe(reader);
  const DenseConfig dense{reader.integer({"intermediate_size_mlp"}, 1, 1 << 22)};

  for (size_t i = 0; i < c.layers.size(); ++i) {
    LayerConfig& layer = c.layers[i];
    layer.attention = attention;
    if (turned[i]) {
      layer.attention.rotary = rotary;
      layer.attention.qk_norm = qk_norm;
    } else {
      layer.attention.temperature = temperature;
    }
    if (types[i] == "chunked_attention" && chunk.size < c.max_positions) layer.attention.span = chunk;
    if (sparse[i])
      layer.feed_forward = moe;
    else
      layer.feed_forward = dense;
  }
  return c;
}

ModelConfig read_nested(ConfigReader& reader) {
  return read_text_part(reader, "llama4_text", read);
}

constexpr Spelling kText[] = {{"mlp.gate.", "mlp.router."}, {"mlp.", "feed_forward."}};
constexpr Spelling kNested[] = {{"mlp.gate.", "mlp.router."},
                                {"mlp.", "feed_forward."},
                                {"model.", "language_model.model."},
                                {"lm_head.", "language_model.lm_head."}};
constexpr TensorLayout kLayouts[] = {
    {.spellings = kNested, .experts = ExpertLayout::fused_transposed},
    {.spellings = kText, .experts = ExpertLayout::fused_transposed},
};
constexpr std::string_view kVision[] = {"vision_model.", "multi_modal_projector."};

}  // namespace

extern const Family llama4{"llama4", read_nested, kLayouts, kVision};
extern const Family llama4_text{"llama4_text", read, kLayouts, kVision};

}  // namespace switchyard::families
