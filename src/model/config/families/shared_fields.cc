#include "model/config/families/shared_fields.h"

#include <algorithm>

namespace switchyard::families {

ModelConfig read_sizes(ConfigReader& reader) {
  ModelConfig c;
  c.vocab_size = reader.integer({"vocab_size"}, 1, 1 << 27);
  c.hidden_size = reader.integer({"hidden_size"}, 1, 1 << 20);
  c.max_positions = reader.integer({"max_position_embeddings"}, 1, 1 << 30);
  c.rms_norm_eps = reader.positive_number("rms_norm_eps");
  c.tied_embeddings = reader.flag_or("tie_word_embeddings", false);
  c.prediction_layers = reader.integer_or("num_nextn_predict_layers", 0, 0, 100);
  c.layers.resize(static_cast<size_t>(reader.integer({"num_hidden_layers"}, 1, 10'000)));
  return c;
}

AttentionConfig read_heads(ConfigReader& reader, int64_t hidden_size) {
  const int64_t heads = reader.integer({"num_attention_heads"}, 1, 1 << 16);
  const int64_t kv_heads = reader.integer_or("num_key_value_heads", heads, 1, 1 << 16);
  reader.require({"num_attention_heads", "num_key_value_heads"}, heads % kv_heads == 0,
                 "the first to be a multiple of the second");
  const bool has_head_dim = reader.has("head_dim");
  reader.require({"hidden_size", "num_attention_heads"}, has_head_dim || hidden_size % heads == 0,
                 "the first to be a multiple of the second, or a head_dim");
  const int64_t head_dim = reader.integer_or("head_dim", hidden_size / heads, 1, 1 << 14);
  reader.require({has_head_dim ? "head_dim" : "hidden_size"}, head_dim % 2 == 0,
                 "an even head_dim, for rotary embedding turns pairs");
  return AttentionConfig::of_heads(heads, kv_heads, head_dim, 0);
}

KeySpan read_window(ConfigReader& reader, const ModelConfig& model) {
  const int64_t size = reader.integer_or("sliding_window", 0, 1, INT64_MAX);
  if (size == 0 || size >= model.max_positions) return {};
  return {KeySpan::Kind::window, size};
}

KeySpan read_window_if_used(ConfigReader& reader, const ModelConfig& model, bool used_by_default) {
  if (reader.flag_or("use_sliding_window", used_by_default)) return read_window(reader, model);
  reader.value("sliding_window");  // of no concern
  return {};
}

std::vector<std::string> read_layer_types(ConfigReader& reader, const ModelConfig& model,
                                          std::initializer_list<std::string_view> known,
                                          const std::function<std::string(int64_t)>& fallback) {
  std::vector<std::string> types = reader.texts_or_empty("layer_types");
  const auto other = std::ranges::find_if(
      types, [&](const std::string& type) { return std::ranges::find(known, type) == known.end(); });
  if (other != types.end()) reader.refuse("layer_types", fmt::format("each of {}", fmt::join(known, ", ")), *other);
  if (reader.has("layer_types"))
    reader.require({"layer_types", "num_hidden_layers"}, std::ssize(types) == model.num_layers(),
                   "a type for each layer");
  if (std::ssize(types) == model.num_layers()) return types;
  types.clear();
  for (int64_t i = 0; i < model.num_layers(); ++i) types.push_back(fallback(i));
  return types;
}

void only_full_attention(ConfigReader& reader) {
  const auto types = reader.texts_or_empty("layer_types");
  const auto other = std::ranges::find_if(types, [](const std::string& type) { return type != "full_attention"; });
  if (other != types.end())
    reader.refuse("layer_types", "\"full_attention\" throughout (anything else is not implemented)", *other);
}

RouterConfig read_router(ConfigReader& reader) {
  RouterConfig router;
  router.num_experts = reader.integer({"num_experts", "num_local_experts", "n_routed_experts"}, 1, 1 << 16);
  router.experts_per_token = reader.integer({"num_experts_per_tok", "experts_per_token"}, 1, 1 << 16);
  reader.require({"num_experts_per_tok", "experts_per_token", "num_experts", "num_local_experts", "n_routed_experts"},
                 router.experts_per_token <= router.num_experts, "no more experts per token than there are");
  return router;
}

ModelConfig read_text_part(ConfigReader& reader, std::string_view model_type, ModelConfig (*read)(ConfigReader&)) {
  ConfigReader& text = reader.inside("text_config");
  if (!reader.is_sound("text_config")) reader.fail_if_wrong();  // all its fields would be missing
  text.only("model_type", model_type);
  ModelConfig c = read(text);
  const bool own = text.has("tie_word_embeddings") && c.tied_embeddings;  // not the text class's own default
  c.tied_embeddings = reader.flag_or("tie_word_embeddings", own);
  c.storage = text.storage({});
  return c;
}

}  // namespace switchyard::families
