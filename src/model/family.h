// A model family: how its config.json maps to a ModelConfig, and how its checkpoints name their tensors.
// Adding one is a file under families/ and a line in the table of families.cc.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "model/config.h"
#include "model/config_reader.h"

namespace switchyard {

/// How a checkpoint stores a layer's experts (MATH §2). f: expert_ffn_size, d: hidden_size.
enum class ExpertLayout : uint8_t {
  per_expert,        ///< gate [f, d], up [f, d], down [d, f] for each expert
  fused,             ///< gate_up [E, 2f, d] (gate first), down [E, d, f]
  fused_transposed,  ///< gate_up [E, d, 2f], down [E, f, d]
};

/// One way in which checkpoints of a family are written. Names below the layer take the layer ("{}") in their prefix;
/// expert names take the expert.
struct TensorLayout {
  std::string_view prefix;  ///< before embed_tokens, layers.N and norm
  std::string_view ffn;     ///< the block's name below a layer: "mlp", "block_sparse_moe"
  std::string_view gate = "gate_proj", up = "up_proj", down = "down_proj";
  ExpertLayout experts = ExpertLayout::per_expert;
};

struct Family {
  std::string_view model_type;
  ModelConfig (*read)(ConfigReader&);
  std::span<const TensorLayout> layouts;  ///< tried in order: the first whose expert tensors are in the checkpoint
};

namespace families {
extern const Family qwen3_moe, mixtral, switchyard;
}  // namespace families

const Family* find_family(std::string_view model_type);  ///< null when there is none
std::string family_names();                              ///< "qwen3_moe, mixtral, …"

/// The fields that every family shares: sizes, heads, norms, rotary embedding, positions. The family adds its experts,
/// and sees to sliding_window.
ModelConfig read_common_fields(ConfigReader& reader);
/// How many experts there are and how many a token goes to, under their usual names.
void read_expert_counts(ConfigReader& reader, ModelConfig& config);

}  // namespace switchyard
