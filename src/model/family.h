// A model family: how its config.json maps to a ModelConfig, and how its checkpoints name their tensors.
// Adding one is a file under families/ and a line in the table of families.cc.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "model/config.h"
#include "model/config_reader.h"

namespace switchyard {

/// How a checkpoint stores a layer's experts. f: an expert's size, d: hidden_size.
enum class ExpertLayout : uint8_t {
  per_expert,        ///< gate [f, d], up [f, d], down [d, f] for each expert
  fused,             ///< gate_up_proj [E, 2f, d] (gate first), down_proj [E, d, f]
  fused_transposed,  ///< gate_up_proj [E, d, 2f], down_proj [E, f, d]
};

/// What checkpoints call a part of a canonical name.
struct Spelling {
  std::string_view canonical, stored;
};

/// One way in which checkpoints of a family are written.
struct TensorLayout {
  std::span<const Spelling> spellings = {};  ///< applied to every name, in this order, to the first occurrence each
  ExpertLayout experts = ExpertLayout::per_expert;
};

struct Family {
  std::string_view model_type;
  ModelConfig (*read)(ConfigReader&);
  std::span<const TensorLayout> layouts;  ///< tried in order: the first whose expert tensors are in the checkpoint
};

const Family* find_family(std::string_view model_type);  ///< null when there is none
std::string family_names();                              ///< "qwen3_moe, mixtral, …"

/// The fields that every family shares: sizes, heads, norms, rotary embedding, positions; the same attention in every
/// layer. The family adds the layers' feed-forward, and sees to sliding_window.
ModelConfig read_common_fields(ConfigReader& reader);
/// How many experts there are and how many a token goes to, under their usual names.
RouterConfig read_router(ConfigReader& reader);

}  // namespace switchyard
