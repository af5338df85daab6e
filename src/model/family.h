// A model family: how its config.json maps to a ModelConfig, and how its checkpoints name their tensors.
// Adding one is a file under families/ and a line in the table of families.cc.
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "model/config_reader.h"

namespace switchyard {

/// How a checkpoint stores a layer's experts. f: an expert's size, d: hidden_size.
enum class ExpertLayout : uint8_t {
  per_expert,        ///< gate [f, d], up [f, d], down [d, f] for each expert
  fused,             ///< gate_up_proj [E, 2f, d], down_proj [E, d, f]
  fused_transposed,  ///< gate_up_proj [E, d, 2f], down_proj [E, f, d]
};

/// In which order the 2f outputs of a fused gate_up_proj are.
enum class GateUpOrder : uint8_t {
  halves,       ///< gate's, then up's
  interleaved,  ///< one of gate's, one of up's, …
};

/// What experts are stored as, where one layout has numbers and another one the codes of a weight format.
enum class StoredAs : uint8_t { either, numbers, codes };

/// What checkpoints call a part of a canonical name.
struct Spelling {
  std::string_view canonical, stored;
};

/// One way in which checkpoints of a family are written.
struct TensorLayout {
  std::span<const Spelling> spellings = {};  ///< applied to every name, in this order, to the first occurrence each
  ExpertLayout experts = ExpertLayout::per_expert;
  GateUpOrder gate_up = GateUpOrder::halves;
  StoredAs stored_as = StoredAs::either;
};

struct Family {
  std::string_view model_type;
  ModelConfig (*read)(ConfigReader&);
  std::span<const TensorLayout> layouts;  ///< the one that fits a checkpoint's experts best is its; of equal ones the first
  /// Tensors called so at their beginning are of no part of the model that reads text.
  std::span<const std::string_view> other_modalities = {};
};

const Family* find_family(std::string_view model_type);  ///< null when there is none
std::string family_names();                              ///< "qwen3_moe, mixtral, …"

// What several families read alike. Each leaves the rest to its family.

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

/// Feed-forward of DeepSeek-V3 and what follows it in that: sigmoid router with groups and a bias for the choice,
/// shared experts, the first layers dense. Fills in all layers.
void read_sigmoid_experts(ConfigReader& reader, ModelConfig& model);

/// A model described in text_config, beside what other modalities need. model_type: what it says there.
ModelConfig read_text_part(ConfigReader& reader, std::string_view model_type, ModelConfig (*read)(ConfigReader&));

}  // namespace switchyard
