#include "model/config.h"

#include <algorithm>
#include <array>

#include "io/foreign_file.h"
#include "model/family.h"
#include "model/quantization.h"

namespace switchyard {
namespace {

ModelConfig seed_23b() {
  ModelConfig c;
  c.family = "switchyard";
  c.vocab_size = 102'400;
  c.hidden_size = 1024;
  c.num_layers = 28;
  c.num_heads = c.num_kv_heads = 16;
  c.head_dim = 64;
  c.num_experts = 128;
  c.experts_per_token = 4;
  c.expert_ffn_size = c.shared_ffn_size = 2048;
  c.renormalise = true;
  c.rms_norm_eps = 1e-5;
  c.rope_theta = 10'000;
  c.max_positions = 32'768;
  c.moe_layer.assign(28, true);
  return c;
}

ModelConfig qwen3_30b_a3b() {
  ModelConfig c;
  c.family = "qwen3_moe";
  c.vocab_size = 151'936;
  c.hidden_size = 2048;
  c.num_layers = 48;
  c.num_heads = 32;
  c.num_kv_heads = 4;
  c.head_dim = 128;
  c.num_experts = 128;
  c.experts_per_token = 8;
  c.expert_ffn_size = 768;
  c.renormalise = c.qk_norm = true;
  c.rms_norm_eps = 1e-6;
  c.rope_theta = 1'000'000;
  c.max_positions = 40'960;
  c.moe_layer.assign(48, true);
  return c;
}

/// The sizes of gpt-oss-120b (its config.json), computed as the family `switchyard` computes: what it has
/// besides (attention sinks, 128-token windows, biases, YaRN, a clamped activation) is not part of it. For memory and
/// speed, not for its checkpoint.
ModelConfig gpt_oss_120b() {
  ModelConfig c;
  c.family = "switchyard";
  c.vocab_size = 201'088;
  c.hidden_size = 2880;
  c.num_layers = 36;
  c.num_heads = 64;
  c.num_kv_heads = 8;
  c.head_dim = 64;
  c.num_experts = 128;
  c.experts_per_token = 4;
  c.expert_ffn_size = 2880;
  c.renormalise = true;
  c.rms_norm_eps = 1e-5;
  c.rope_theta = 150'000;
  c.max_positions = 131'072;
  c.moe_layer.assign(36, true);
  return c;
}

struct Reference {
  std::string_view name;
  ModelConfig (*make)();
};
constexpr std::array<Reference, 3> kReferences = {
    {{"seed-23B", seed_23b}, {"qwen3-30b-a3b", qwen3_30b_a3b}, {"gpt-oss-120b", gpt_oss_120b}}};

struct Counts {
  int64_t attention, norms, router, expert, shared, dense;
};

Counts per_layer(const ModelConfig& c) {
  const int64_t d = c.hidden_size, q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  return {.attention = d * q + 2 * d * kv + q * d,
          .norms = 2 * d + (c.qk_norm ? 2 * c.head_dim : 0),
          .router = c.num_experts * d,
          .expert = 3 * d * c.expert_ffn_size,
          .shared = 3 * d * c.shared_ffn_size,
          .dense = 3 * d * c.dense_ffn_size};
}

int64_t count_parameters(const ModelConfig& c, int64_t experts, int64_t embedding_tables) {
  const Counts n = per_layer(c);
  const int64_t moe = c.num_moe_layers();
  return c.num_layers * (n.attention + n.norms) + moe * (n.router + experts * n.expert + n.shared) +
         (c.num_layers - moe) * n.dense + c.hidden_size + embedding_tables * c.vocab_size * c.hidden_size;
}

}  // namespace

int64_t ModelConfig::num_moe_layers() const {
  return std::count(moe_layer.begin(), moe_layer.end(), true);
}

int64_t ModelConfig::total_parameters() const {
  return count_parameters(*this, num_experts, tied_embeddings ? 1 : 2);
}

int64_t ModelConfig::active_parameters() const {
  return count_parameters(*this, experts_per_token, 1);
}

int64_t ModelConfig::kv_bytes_per_token(int64_t bytes_per_element) const {
  return 2 * num_layers * num_kv_heads * head_dim * bytes_per_element;
}

ModelConfig read_common_fields(ConfigReader& reader) {
  ModelConfig c;
  c.vocab_size = reader.integer({"vocab_size"}, 1, 1 << 27);
  c.hidden_size = reader.integer({"hidden_size"}, 1, 1 << 20);
  c.num_layers = reader.integer({"num_hidden_layers"}, 1, 10'000);
  c.num_heads = reader.integer({"num_attention_heads"}, 1, 1 << 16);
  c.num_kv_heads = reader.integer_or("num_key_value_heads", c.num_heads, 1, 1 << 16);
  reader.require({"num_attention_heads", "num_key_value_heads"}, c.num_heads % c.num_kv_heads == 0,
                 "the first to be a multiple of the second");
  const bool has_head_dim = reader.has("head_dim");
  reader.require({"hidden_size", "num_attention_heads"}, has_head_dim || c.hidden_size % c.num_heads == 0,
                 "the first to be a multiple of the second, or a head_dim");
  c.head_dim = reader.integer_or("head_dim", c.hidden_size / c.num_heads, 1, 1 << 14);
  reader.require({has_head_dim ? "head_dim" : "hidden_size"}, c.head_dim % 2 == 0,
                 "an even head_dim, for rotary embedding turns pairs");
  c.max_positions = reader.integer({"max_position_embeddings"}, 1, 1 << 30);
  c.rms_norm_eps = reader.positive_number("rms_norm_eps");
  c.rope_theta = reader.rope_theta();
  c.tied_embeddings = reader.flag_or("tie_word_embeddings", false);
  reader.only_full_attention();
  return c;
}

void read_expert_counts(ConfigReader& reader, ModelConfig& c) {
  c.num_experts = reader.integer({"num_experts", "num_local_experts"}, 1, 1 << 16);
  c.experts_per_token = reader.integer({"num_experts_per_tok"}, 1, 1 << 16);
  reader.require({"num_experts_per_tok", "num_experts", "num_local_experts"}, c.experts_per_token <= c.num_experts,
                 "no more experts per token than there are");
}

namespace {

/// The largest products of sizes stay far from 2^63 once the number of parameters does.
void check_total(const ModelConfig& c, const std::string& subject) {
  const double parameters = static_cast<double>(c.num_layers) * static_cast<double>(c.num_experts) * 3.0 *
                                static_cast<double>(c.hidden_size) *
                                static_cast<double>(c.expert_ffn_size + c.dense_ffn_size + c.shared_ffn_size) +
                            4.0 * static_cast<double>(c.num_layers) * static_cast<double>(c.hidden_size * c.num_heads) *
                                static_cast<double>(c.head_dim);
  if (parameters > 0x1p50)
    fail(ExitCode::input, "{}: a model of about {:.1e} parameters, at most 1e15", subject, parameters);
}

ModelConfig parse(ConfigReader& reader, const std::vector<std::string>& quantization_files) {
  const std::string model_type = reader.text("model_type");
  const Family* family = find_family(model_type);
  if (family == nullptr && reader.is_sound("model_type"))
    reader.refuse(fmt::format("model family \"{}\" is not supported; these are: {}", model_type, family_names()));
  reader.refuse_quantization(quantization_files);
  if (family == nullptr) reader.fail_if_wrong();  // its other fields mean what only it knows
  ModelConfig c = family->read(reader);
  c.family = family->model_type;
  reader.require({"mlp_only_layers", "decoder_sparse_step"}, c.num_moe_layers() > 0,
                 "experts in one layer at least, but no layer has experts");
  reader.finish();
  check_total(c, reader.subject());
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

Hash128 config_hash(const ModelConfig& c) {
  Hasher hasher;
  const int64_t sizes[] = {c.vocab_size,      c.hidden_size,     c.num_layers,     c.num_heads,
                           c.num_kv_heads,    c.head_dim,        c.num_experts,    c.experts_per_token,
                           c.expert_ffn_size, c.shared_ffn_size, c.dense_ffn_size, c.max_positions,
                           c.renormalise,     c.qk_norm,         c.tied_embeddings};
  const double reals[] = {c.rms_norm_eps, c.rope_theta};
  hasher.update(c.family);
  hasher.update(std::span<const int64_t>(sizes));
  hasher.update(std::span<const double>(reals));
  for (const bool moe : c.moe_layer) hasher.update(moe ? "m" : "d");
  return hasher.digest();
}

ModelConfig reference_config(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Reference& reference : kReferences) {
    if (reference.name == name) return reference.make();
    names.push_back(reference.name);
  }
  fail(ExitCode::usage, "no reference configuration \"{}\"; these are: {}", name, fmt::join(names, ", "));
}

}  // namespace switchyard
