// What a model is: the numbers of config.json, in one spelling for every family.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "io/json.h"

namespace switchyard {

/// A decoder-only Mixture-of-Experts transformer:  x = embed(token);  per layer  x += attention(norm(x)),
/// x += ffn(norm(x));  logits = head(norm(x)).  The ffn of a layer is a mixture of experts or one dense SwiGLU.
struct ModelConfig {
  std::string family;  ///< config.json's model_type
  int64_t vocab_size = 0, hidden_size = 0, num_layers = 0;
  int64_t num_heads = 0, num_kv_heads = 0, head_dim = 0;
  int64_t num_experts = 0, experts_per_token = 0;
  int64_t expert_ffn_size = 0;  ///< f of one expert
  int64_t shared_ffn_size = 0;  ///< f of the shared expert; 0: none
  int64_t dense_ffn_size = 0;   ///< f of dense layers; 0: no such layers
  std::vector<bool> moe_layer;  ///< [num_layers]
  bool renormalise = false;     ///< router weights are softmax over the chosen k, not over all experts
  bool qk_norm = false;         ///< per-head RMSNorm on q and k before RoPE
  bool tied_embeddings = false;
  double rms_norm_eps = 0, rope_theta = 0;
  int64_t max_positions = 0;

  int64_t num_moe_layers() const;
  int64_t total_parameters() const;
  /// Parameters that one token's forward pass multiplies by: experts_per_token experts, and the head but not the
  /// embedding table (one row of it is read).
  int64_t active_parameters() const;
  int64_t kv_bytes_per_token(int64_t bytes_per_element) const;
};

/// Parses a config.json of any known family. Fails (input), naming all of: an unknown family; missing fields or fields
/// of the wrong type or range; fields that would change the mathematics and are not implemented; unknown non-null
/// fields. The latter two are ignored, with a line, if in `allowed_fields`; that tensors are quantised is not.
ModelConfig parse_model_config(const Json& config, std::string_view subject,
                               const std::set<std::string>& allowed_fields = {});

/// Reads MODEL/config.json, or MODEL itself if it is a file, and looks beside it for files that tell of a quantisation.
ModelConfig read_model_config(const std::filesystem::path& model, const std::set<std::string>& allowed_fields = {});

/// Hash of every field: two configurations with the same hash compute the same.
Hash128 config_hash(const ModelConfig& config);

/// Built-in configurations by name ("seed-23B", …), for `inspect --reference`. Fails (usage) naming those known.
ModelConfig reference_config(std::string_view name);

}  // namespace switchyard
