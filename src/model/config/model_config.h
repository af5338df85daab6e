// What a model is: the numbers of config.json, in one spelling for every family. Every struct lists its fields once,
// for all that must look at each (the hash).
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <variant>
#include <vector>

#include "base/fields.h"
#include "base/hash.h"
#include "io/json.h"
#include "kernels/attention/key_span.h"
#include "kernels/attention/prepare_heads.h"
#include "kernels/products/gated_activation.h"
#include "kernels/routing/router.h"
#include "model/config/rotary.h"

namespace switchyard {

/// Queries, keys and values, each a product of the layer's input.
struct DirectProjections {
  bool operator==(const DirectProjections&) const = default;
  static constexpr auto fields() { return std::tuple{}; }
};

/// Multi-head latent attention (DeepSeek-V2), expanded: keys and values of all heads from one vector of `kv_rank`, but
/// for the turned part of the keys, which all heads share; queries directly, or through a vector of `query_rank`.
struct LatentProjections {
  int64_t query_rank = 0;  ///< 0: directly
  int64_t kv_rank = 0;

  bool operator==(const LatentProjections&) const = default;
  static constexpr auto fields() {
    return std::tuple{Field{"query_rank", &LatentProjections::query_rank},
                      Field{"kv_rank", &LatentProjections::kv_rank}};
  }
};

/// Queries are multiplied by 1 + scale · ln(1 + ⌊(position + 1) / floor⌋): Llama-4, in layers without rotary embedding.
struct QueryTemperature {
  double scale = 0;  ///< 0: they are not
  double floor = 1;

  bool operator==(const QueryTemperature&) const = default;
  static constexpr auto fields() {
    return std::tuple{Field{"scale", &QueryTemperature::scale}, Field{"floor", &QueryTemperature::floor}};
  }
};

struct AttentionConfig {
  int64_t num_heads = 0, num_kv_heads = 0;
  int64_t head_dim = 0, value_dim = 0;  ///< of a query's and a key's head, of a value's
  double scale = 0;                     ///< of the products of queries and keys
  std::variant<DirectProjections, LatentProjections> projections = {};
  bool input_bias = false;   ///< of queries, keys and values; of what latents are made with
  bool output_bias = false;  ///< of what the heads' results are multiplied with
  QkNorm qk_norm = QkNorm::none;
  RotaryConfig rotary = {};
  QueryTemperature temperature = {};
  KeySpan span = {};
  bool sinks = false;  ///< a logit of each head that joins the softmax's denominator

  /// The plain kind: heads of one size, turned whole, scaled by 1 / √head_dim, that see all that comes before.
  static AttentionConfig of_heads(int64_t num_heads, int64_t num_kv_heads, int64_t head_dim, double theta);
  const LatentProjections* latent() const { return std::get_if<LatentProjections>(&projections); }
  int64_t query_size() const { return num_heads * head_dim; }
  int64_t key_size() const { return num_kv_heads * head_dim; }
  int64_t value_size() const { return num_kv_heads * value_dim; }
  int64_t output_size() const { return num_heads * value_dim; }
  /// What a cache keeps of a token: its keys and values, or the latent that they are made of.
  int64_t cached_size() const { return latent() ? latent()->kv_rank + rotary.dim : key_size() + value_size(); }
  bool operator==(const AttentionConfig&) const = default;
  static constexpr auto fields() {
    return std::tuple{Field{"num_heads", &AttentionConfig::num_heads},
                      Field{"num_kv_heads", &AttentionConfig::num_kv_heads},
                      Field{"head_dim", &AttentionConfig::head_dim},
                      Field{"value_dim", &AttentionConfig::value_dim},
                      Field{"scale", &AttentionConfig::scale},
                      Field{"projections", &AttentionConfig::projections},
                      Field{"input_bias", &AttentionConfig::input_bias},
                      Field{"output_bias", &AttentionConfig::output_bias},
                      Field{"qk_norm", &AttentionConfig::qk_norm},
                      Field{"rotary", &AttentionConfig::rotary},
                      Field{"temperature", &AttentionConfig::temperature},
                      Field{"span", &AttentionConfig::span},
                      Field{"sinks", &AttentionConfig::sinks}};
  }
};

/// Which experts a token goes to, and how their results are weighted.
struct RouterConfig {
  int64_t num_experts = 0, experts_per_token = 0;
  bool bias = false;            ///< of the logits
  bool selection_bias = false;  ///< of the scores, for the choice alone
  RouterScores scores = RouterScores::softmax;
  bool renormalise = false;                 ///< weights are shares among the chosen k, not among all experts
  double scale = 1;                         ///< of the weights
  int64_t num_groups = 1, kept_groups = 1;  ///< of experts: those of the best groups are chosen from

  RouterRule rule() const {
    return {scores, renormalise, static_cast<float>(scale), static_cast<int32_t>(num_groups),
            static_cast<int32_t>(kept_groups)};
  }
  bool operator==(const RouterConfig&) const = default;
  static constexpr auto fields() {
    return std::tuple{Field{"num_experts", &RouterConfig::num_experts},
                      Field{"experts_per_token", &RouterConfig::experts_per_token},
                      Field{"bias", &RouterConfig::bias},
                      Field{"selection_bias", &RouterConfig::selection_bias},
                      Field{"scores", &RouterConfig::scores},
                      Field{"renormalise", &RouterConfig::renormalise},
                      Field{"scale", &RouterConfig::scale},
                      Field{"num_groups", &RouterConfig::num_groups},
                      Field{"kept_groups", &RouterConfig::kept_groups}};
  }
};

/// A mixture of experts, each a gated linear unit.
struct MoeConfig {
  RouterConfig router = {};
  int64_t expert_size = 0;  ///< f of one expert
  int64_t shared_size = 0;  ///< f of the shared expert; 0: none
  bool biases = false;      ///< of the experts' products
  GatedActivation activation = {};
  bool scaled_input = false;  ///< a router's weight multiplies what an expert gets, not what it returns (Llama-4)

  bool operator==(const MoeConfig&) const = default;
  static constexpr auto fields() {
    return std::tuple{Field{"router", &MoeConfig::router},           Field{"expert_size", &MoeConfig::expert_size},
                      Field{"shared_size", &MoeConfig::shared_size}, Field{"biases", &MoeConfig::biases},
                      Field{"activation", &MoeConfig::activation},   Field{"scaled_input", &MoeConfig::scaled_input}};
  }
};

/// One SwiGLU for every token.
struct DenseConfig {
  int64_t size = 0;  ///< f

  bool operator==(const DenseConfig&) const = default;
  static constexpr auto fields() { return std::tuple{Field{"size", &DenseConfig::size}}; }
};

struct LayerConfig {
  AttentionConfig attention;
  std::variant<MoeConfig, DenseConfig> feed_forward = {};

  const MoeConfig* moe() const { return std::get_if<MoeConfig>(&feed_forward); }        ///< null in a dense layer
  const DenseConfig* dense() const { return std::get_if<DenseConfig>(&feed_forward); }  ///< null in a moe layer
  bool operator==(const LayerConfig&) const = default;
  static constexpr auto fields() {
    return std::tuple{Field{"attention", &LayerConfig::attention}, Field{"feed_forward", &LayerConfig::feed_forward}};
  }
};

/// A checkpoint's weights are numbers. Without fields: the hash of such a configuration is that of the rest.
struct PlainWeights {
  bool operator==(const PlainWeights&) const = default;
  static constexpr auto fields() { return std::tuple{}; }
};

/// Most of them are codes, and scales of blocks of these, in one of the formats of weight_format.h.
struct QuantisedWeights {
  std::string method;                         ///< config.json's quant_method
  int64_t block_rows = 1, block_columns = 1;  ///< weights that share a scale, along a tensor's last two axes

  bool operator==(const QuantisedWeights&) const = default;
  static constexpr auto fields() {
    return std::tuple{Field{"method", &QuantisedWeights::method}, Field{"block_rows", &QuantisedWeights::block_rows},
                      Field{"block_columns", &QuantisedWeights::block_columns}};
  }
};

using WeightStorage = std::variant<PlainWeights, QuantisedWeights>;

/// A decoder-only Mixture-of-Experts transformer:  x = embed(token);  per layer  x += attention(norm(x)),
/// x += ffn(norm(x));  logits = head(norm(x)).
struct ModelConfig {
  std::string family;  ///< config.json's model_type
  int64_t vocab_size = 0, hidden_size = 0;
  bool tied_embeddings = false;
  double rms_norm_eps = 0;
  int64_t max_positions = 0;
  std::vector<LayerConfig> layers = {};
  int64_t prediction_layers = 0;  ///< that a checkpoint has beyond these, for tokens further ahead; not read
  WeightStorage storage = {};

  bool operator==(const ModelConfig&) const = default;
  static constexpr auto fields() {
    return std::tuple{Field{"family", &ModelConfig::family},
                      Field{"vocab_size", &ModelConfig::vocab_size},
                      Field{"hidden_size", &ModelConfig::hidden_size},
                      Field{"tied_embeddings", &ModelConfig::tied_embeddings},
                      Field{"rms_norm_eps", &ModelConfig::rms_norm_eps},
                      Field{"max_positions", &ModelConfig::max_positions},
                      Field{"layers", &ModelConfig::layers},
                      Field{"prediction_layers", &ModelConfig::prediction_layers},
                      Field{"storage", &ModelConfig::storage}};
  }

  const QuantisedWeights* quantised() const { return std::get_if<QuantisedWeights>(&storage); }  ///< null where plain
  int64_t num_layers() const { return std::ssize(layers); }
  int64_t num_moe_layers() const;
  /// The first layer with experts; its place, and what it is. Other ones have as many experts, and as many a token.
  int64_t first_moe_layer() const;
  const MoeConfig& moe() const { return *layers[static_cast<size_t>(first_moe_layer())].moe(); }
  int num_experts() const { return static_cast<int>(moe().router.num_experts); }
  int experts_per_token() const { return static_cast<int>(moe().router.experts_per_token); }

  int64_t total_parameters() const;
  /// Parameters that one token's forward pass multiplies by: experts_per_token experts, and the head but not the
  /// embedding table (one row of it is read).
  int64_t active_parameters() const;
  int64_t kv_bytes_per_token(int64_t bytes_per_element) const;
};

/// Parses a config.json of any known family. Fails (input), naming all of: an unknown family; missing fields or fields
/// of the wrong type or range; fields that would change the mathematics and are not implemented; unknown non-null
/// fields. The latter two are ignored, with a line, if in `allowed_fields`; that tensors are quantised, in a way that
/// is not read, is not.
ModelConfig parse_model_config(const Json& config, std::string_view subject,
                               const std::set<std::string>& allowed_fields = {});

/// MODEL/config.json, or MODEL itself if it is a file.
std::filesystem::path config_file_of(const std::filesystem::path& model);
/// As JSON. Fails (input).
Json read_config_json(const std::filesystem::path& model);
/// The object in it that is about the model of text: itself, or text_config beside what other modalities need.
const Json& text_part_of(const Json& config);

/// Reads a model's config.json, and looks beside it for files that tell of a quantisation.
ModelConfig read_model_config(const std::filesystem::path& model, const std::set<std::string>& allowed_fields = {});

/// config.json's initializer_range, the standard deviation of initial weights, of the text model; 0.02, transformers'
/// own, where there is none. Nothing of what a model computes, and no part of its configuration. Fails (input) on what
/// is no positive number.
double read_initializer_range(const std::filesystem::path& model);

/// Hash of every field: two configurations with the same hash compute the same.
Hash128 config_hash(const ModelConfig& config);

/// Built-in configurations by name ("seed-23B", …), for `inspect --reference`. Fails (usage) naming those known.
ModelConfig reference_config(std::string_view name);

}  // namespace switchyard
