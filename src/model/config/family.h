// A model family: how its config.json maps to a ModelConfig, and how its checkpoints name their tensors.
// Adding one is a file under families/ and a line in the table of families.cc.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "model/config/config_reader.h"
#include "model/config/model_config.h"

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
  /// The one that fits a checkpoint's experts best is its; of equal ones the first.
  std::span<const TensorLayout> layouts;
  /// Tensors called so at their beginning are of no part of the model that reads text.
  std::span<const std::string_view> other_modalities = {};
};

const Family* find_family(std::string_view model_type);  ///< null when there is none
const Family& family_of(const ModelConfig& config);
std::string family_names();  ///< "qwen3_moe, mixtral, …"

}  // namespace switchyard
