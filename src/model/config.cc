#include "model/config.h"

#include <algorithm>

#include "io/foreign_file.h"
#include "model/family.h"
#include "model/parameters.h"
#include "model/quantization.h"

namespace switchyard {
namespace {

/// With `experts` experts in a layer that has any. As a double it does not overflow, whatever config.json says.
template <class T>
T count_parameters(const ModelConfig& c, int64_t experts) {
  T sum = 0;
  for_each_parameter(c, experts, [&](const Parameter& p, int64_t copies) {
    T elements = static_cast<T>(copies);
    for (int axis = 0; axis < p.shape.rank(); ++axis) elements *= static_cast<T>(p.shape[axis]);
    sum += elements;
  });
  return sum;
}

}  // namespace

int64_t ModelConfig::num_moe_layers() const {
  return std::ranges::count_if(layers, [](const LayerConfig& layer) { return layer.moe() != nullptr; });
}

int64_t ModelConfig::first_moe_layer() const {
  return std::ranges::find_if(layers, [](const LayerConfig& layer) { return layer.moe() != nullptr; }) - layers.begin();
}

int64_t ModelConfig::total_parameters() const {
  return count_parameters<int64_t>(*this, num_experts());
}

int64_t ModelConfig::active_parameters() const {
  const int64_t table = tied_embeddings ? 0 : vocab_size * hidden_size;
  return count_parameters<int64_t>(*this, experts_per_token()) - table;
}

int64_t ModelConfig::kv_bytes_per_token(int64_t bytes_per_element) const {
  int64_t elements = 0;
  for (const LayerConfig& layer : layers) elements += 2 * layer.attention.kv_size();
  return elements * bytes_per_element;
}

ModelConfig read_common_fields(ConfigReader& reader) {
  ModelConfig c;
  c.vocab_size = reader.integer({"vocab_size"}, 1, 1 << 27);
  c.hidden_size = reader.integer({"hidden_size"}, 1, 1 << 20);
  const int64_t num_layers = reader.integer({"num_hidden_layers"}, 1, 10'000);
  AttentionConfig a;
  a.num_heads = reader.integer({"num_attention_heads"}, 1, 1 << 16);
  a.num_kv_heads = reader.integer_or("num_key_value_heads", a.num_heads, 1, 1 << 16);
  reader.require({"num_attention_heads", "num_key_value_heads"}, a.num_heads % a.num_kv_heads == 0,
                 "the first to be a multiple of the second");
  const bool has_head_dim = reader.has("head_dim");
  reader.require({"hidden_size", "num_attention_heads"}, has_head_dim || c.hidden_size % a.num_heads == 0,
                 "the first to be a multiple of the second, or a head_dim");
  a.head_dim = reader.integer_or("head_dim", c.hidden_size / a.num_heads, 1, 1 << 14);
  reader.require({has_head_dim ? "head_dim" : "hidden_size"}, a.head_dim % 2 == 0,
                 "an even head_dim, for rotary embedding turns pairs");
  c.max_positions = reader.integer({"max_position_embeddings"}, 1, 1 << 30);
  c.rms_norm_eps = reader.positive_number("rms_norm_eps");
  a.rotary.theta = reader.rope_theta();
  c.tied_embeddings = reader.flag_or("tie_word_embeddings", false);
  reader.only_full_attention();
  c.layers.assign(static_cast<size_t>(num_layers), {.attention = a});
  return c;
}

RouterConfig read_router(ConfigReader& reader) {
  RouterConfig router;
  router.num_experts = reader.integer({"num_experts", "num_local_experts"}, 1, 1 << 16);
  router.experts_per_token = reader.integer({"num_experts_per_tok"}, 1, 1 << 16);
  reader.require({"num_experts_per_tok", "num_experts", "num_local_experts"},
                 router.experts_per_token <= router.num_experts, "no more experts per token than there are");
  return router;
}

namespace {

/// The largest products of sizes stay far from 2^63 once the number of parameters does.
void check_total(const ModelConfig& c, const std::string& subject) {
  const double parameters = count_parameters<double>(c, c.num_experts());
  if (parameters > 0x1p50)
    fail(ExitCode::input, "{}: a model of about {:.1e} parameters, at most 1e15", subject, parameters);
}

ModelConfig parse(ConfigReader& reader, const std::vector<std::string>& quantization_files) {
  const std::string model_type = reader.text("model_type");
  const Family* family = find_family(model_type);
  if (family == nullptr && reader.is_sound("model_type"))
    reader.refuse(fmt::format("model family \"{}\" is not supported; these are: {}", model_type, family_names()));
  const WeightStorage storage = reader.storage(quantization_files);
  if (family == nullptr) reader.fail_if_wrong();  // its other fields mean what only it knows
  ModelConfig c = family->read(reader);
  c.family = family->model_type;
  c.storage = storage;
  reader.require({"mlp_only_layers", "decoder_sparse_step"}, c.num_moe_layers() > 0,
                 "experts in one layer at least, but no layer has experts");
  reader.finish();
  check_total(c, reader.subject());
  for (const LayerConfig& layer : c.layers)  // for one exchange serves all layers
    SWITCHYARD_CHECK(layer.moe() == nullptr || (layer.moe()->router.num_experts == c.num_experts() &&
                                                layer.moe()->router.experts_per_token == c.experts_per_token()),
                     "layers of unlike numbers of experts");
  return c;
}

}  // namespace

ModelConfig parse_model_config(const Json& config, std::string_view subject,
                               const std::set<std::string>& allowed_fields) {
  ConfigReader reader(config, std::string(subject), allowed_fields);
  return parse(reader, {});
}

ModelConfig read_model_config(const std::filesystem::path& model, const std::set<std::string>& allowed_fields) {
  constexpr uint64_t kMaxBytes = 16 << 20;
  std::error_code ignored;  // what is wrong with the path is said when it is opened
  const auto path = std::filesystem::is_directory(model, ignored) ? model / "config.json" : model;
  const Json config = read_json_file(path, kMaxBytes);
  ConfigReader reader(config, path.native(), allowed_fields);
  return parse(reader, quantization_beside(path.parent_path()));
}

Hash128 config_hash(const ModelConfig& config) {
  Hasher hasher;
  visit_leaves(config, "", [&](const std::string& path, const auto& value) {
    hasher.update(fmt::format("{} = {}\n", path, value));
  });
  return hasher.digest();
}

}  // namespace switchyard
