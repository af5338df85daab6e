#include "model/config/model_config.h"

#include <algorithm>
#include <cmath>

#include "io/foreign_file.h"
#include "model/checkpoint/quantization.h"
#include "model/config/family.h"
#include "model/parameters.h"

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

AttentionConfig AttentionConfig::of_heads(int64_t num_heads, int64_t num_kv_heads, int64_t head_dim, double theta) {
  return {.num_heads = num_heads,
          .num_kv_heads = num_kv_heads,
          .head_dim = head_dim,
          .value_dim = head_dim,
          .scale = 1 / std::sqrt(static_cast<double>(head_dim)),
          .rotary = {.theta = theta, .dim = head_dim}};
}

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
  for (const LayerConfig& layer : layers) elements += layer.attention.cached_size();
  return elements * bytes_per_element;
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
    reader.refuse(fmt::format("model family {} is not supported; these are: {}", brief(model_type), family_names()));
  const WeightStorage storage = reader.storage(quantization_files);
  if (family == nullptr) reader.fail_if_wrong();  // its other fields mean what only it knows
  ModelConfig c = family->read(reader);
  c.family = family->model_type;
  if (c.quantised() == nullptr) c.storage = storage;
  reader.require({"num_hidden_layers", "mlp_only_layers", "decoder_sparse_step", "first_k_dense_replace", "moe_layers"},
                 c.num_moe_layers() > 0, "experts in one layer at least, but no layer has experts");
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

std::filesystem::path config_file_of(const std::filesystem::path& model) {
  std::error_code ignored;  // what is wrong with the path is said when it is opened
  return std::filesystem::is_directory(model, ignored) ? model / "config.json" : model;
}

Json read_config_json(const std::filesystem::path& model) {
  constexpr uint64_t kMaxBytes = 16 << 20;
  return read_json_file(config_file_of(model), kMaxBytes);
}

const Json& text_part_of(const Json& config) {
  const Json* text = find_field(config, "text_config");
  return text != nullptr && text->is_object() ? *text : config;
}

ModelConfig read_model_config(const std::filesystem::path& model, const std::set<std::string>& allowed_fields) {
  const std::filesystem::path path = config_file_of(model);
  const Json config = read_config_json(model);
  ConfigReader reader(config, path.native(), allowed_fields);
  return parse(reader, quantization_beside(path.parent_path()));
}

double read_initializer_range(const std::filesystem::path& model) {
  constexpr std::string_view kField = "initializer_range";
  const Json config = read_config_json(model);
  const Json* range = find_field(text_part_of(config), kField);
  if (range == nullptr) return 0.02;
  const double value = range->is_number() ? range->get<double>() : 0;
  if (!std::isfinite(value) || value <= 0)
    fail(ExitCode::input, "{}: field \"{}\": expected a positive number, found {}", config_file_of(model).native(),
         kField, brief(*range));
  return value;
}

Hash128 config_hash(const ModelConfig& config) {
  Hasher hasher;
  visit_leaves(config, "", [&](const std::string& path, const auto& value) {
    if constexpr (std::is_enum_v<std::remove_cvref_t<decltype(value)>>)
      hasher.update(fmt::format("{} = {}\n", path, fmt::underlying(value)));
    else
      hasher.update(fmt::format("{} = {}\n", path, value));
  });
  return hasher.digest();
}

}  // namespace switchyard
