// What several families read alike from config.json. Each function leaves the rest to its family.
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/config/config_reader.h"

namespace switchyard::families {

/// Vocabulary, widths, positions, norms, tied embeddings, layers that a checkpoint has beyond the last; and as many
/// layers, with nothing in them.
ModelConfig read_sizes(ConfigReader& reader);
/// Heads of queries, keys and values, all of one size, and the scale 1 / √head_dim.
AttentionConfig read_heads(ConfigReader& reader, int64_t hidden_size);
/// Rotary embedding of heads of `head_dim` dimensions: rope_theta, rope_scaling or rope_parameters.
/// partial_rotary_factor is `partial` where it is absent; families without it have no such default, and it must be 1.
RotaryConfig read_rotary(ConfigReader& reader, const ModelConfig& model, int64_t head_dim,
                         std::optional<double> partial = {});
/// sliding_window, for layers that slide; null is none, and so is one as long as all positions.
KeySpan read_window(ConfigReader& reader, const ModelConfig& model);
/// The same unless use_sliding_window is false.
KeySpan read_window_if_used(ConfigReader& reader, const ModelConfig& model, bool used_by_default);
/// layer_types: a type of each layer, one of `known`; `fallback` of the layer's number where it is absent.
std::vector<std::string> read_layer_types(ConfigReader& reader, const ModelConfig& model,
                                          std::initializer_list<std::string_view> known,
                                          const std::function<std::string(int64_t)>& fallback);
/// layer_types, in families that know no other than full attention.
void only_full_attention(ConfigReader& reader);
/// How many experts there are and how many a token goes to, under their usual names.
RouterConfig read_router(ConfigReader& reader);

/// A model described in text_config, beside what other modalities need. model_type: what it says there.
ModelConfig read_text_part(ConfigReader& reader, std::string_view model_type, ModelConfig (*read)(ConfigReader&));

}  // namespace switchyard::families
