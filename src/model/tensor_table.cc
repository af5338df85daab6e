#include "model/tensor_table.h"

#include <map>
#include <set>

#include "base/log.h"

namespace switchyard {
namespace {

constexpr std::string_view kHead = "lm_head.weight";

/// Older versions of transformers stored what they compute from rope_theta.
bool is_computed(std::string_view tensor_name) {
  return tensor_name.ends_with(".rotary_emb.inv_freq") || tensor_name.ends_with(".rotary_emb.cos_cached") ||
         tensor_name.ends_with(".rotary_emb.sin_cached");
}

class TableBuilder {
 public:
  TableBuilder(const Checkpoint& checkpoint, const ModelConfig& config, const TensorLayout& layout,
               std::string_view subject)
      : checkpoint_(checkpoint), c_(config), layout_(layout), subject_(subject) {}

  TensorTable build() {
    TensorTable table;
    table.embed = whole(name("embed_tokens.weight"), c_.vocab_size, c_.hidden_size);
    table.norm = vector(name("norm.weight"), c_.hidden_size);
    if (!c_.tied_embeddings)
      table.head = whole(std::string(kHead), c_.vocab_size, c_.hidden_size);
    else if (checkpoint_.find(kHead) != nullptr)
      table.tied_copy = whole(std::string(kHead), c_.vocab_size, c_.hidden_size);
    for (int64_t layer = 0; layer < c_.num_layers; ++layer) table.layers.push_back(build_layer(layer));
    const std::string skipped = check_nothing_left();
    fail_if_wrong();
    if (!skipped.empty()) log::info("{}: {}", subject_, skipped);
    return table;
  }

 private:
  std::string name(std::string_view rest) const { return fmt::format("{}{}", layout_.prefix, rest); }

  /// Null, with the problem remembered, where there is no such tensor.
  const TensorInfo* claim(const std::string& tensor_name, const std::vector<int64_t>& shape) {
    const TensorInfo* tensor = checkpoint_.find(tensor_name);
    if (tensor == nullptr) {
      problems_[tensor_name] = "is missing";
      return nullptr;
    }
    claimed_.insert(tensor->name);
    if (!tensor->has_dtype)
      problems_[tensor_name] = fmt::format("is {}, expected F32, BF16 or F16", tensor->dtype_name);
    else if (tensor->shape != shape)
      problems_[tensor_name] = fmt::format("is {}, expected [{}]", tensor->shape_str(), fmt::join(shape, ", "));
    return tensor;
  }

  TensorPart whole(const std::string& tensor_name, int64_t rows, int64_t columns) {
    const TensorInfo* tensor = claim(tensor_name, {rows, columns});
    return {tensor, 0, tensor == nullptr ? 0 : tensor->bytes, rows, columns, false, tensor_name};
  }

  TensorPart vector(const std::string& tensor_name, int64_t length) {
    const TensorInfo* tensor = claim(tensor_name, {length});
    return {tensor, 0, tensor == nullptr ? 0 : tensor->bytes, 1, length, false, tensor_name};
  }

  LayerParts build_layer(int64_t index) {
    const std::string layer = name(fmt::format("layers.{}.", index));
    const std::string attention = layer + "self_attn.";
    const std::string ffn = fmt::format("{}{}.", layer, layout_.ffn);
    const int64_t d = c_.hidden_size, q = c_.num_heads * c_.head_dim, kv = c_.num_kv_heads * c_.head_dim;

    LayerParts parts;
    AttentionParts& a = parts.attention;
    a.norm = vector(layer + "input_layernorm.weight", d);
    a.q = whole(attention + "q_proj.weight", q, d);
    a.k = whole(attention + "k_proj.weight", kv, d);
    a.v = whole(attention + "v_proj.weight", kv, d);
    a.o = whole(attention + "o_proj.weight", d, q);
    if (c_.qk_norm) {
      a.q_norm = vector(attention + "q_norm.weight", c_.head_dim);
      a.k_norm = vector(attention + "k_norm.weight", c_.head_dim);
    }
    parts.ffn_norm = vector(layer + "post_attention_layernorm.weight", d);
    if (!c_.moe_layer[static_cast<size_t>(index)]) {
      parts.dense.push_back(separate(ffn, "gate_proj", "up_proj", "down_proj", c_.dense_ffn_size));
      return parts;
    }
    parts.router = whole(ffn + "gate.weight", c_.num_experts, d);
    for (int64_t expert = 0; expert < c_.num_experts; ++expert) parts.experts.push_back(build_expert(ffn, expert));
    if (c_.shared_ffn_size > 0)
      parts.shared.push_back(separate(ffn + "shared_expert.", "gate_proj", "up_proj", "down_proj", c_.shared_ffn_size));
    return parts;
  }

  FfnParts separate(const std::string& block, std::string_view gate, std::string_view up, std::string_view down,
                    int64_t f) {
    FfnParts parts;
    parts.gate = whole(fmt::format("{}{}.weight", block, gate), f, c_.hidden_size);
    parts.up = whole(fmt::format("{}{}.weight", block, up), f, c_.hidden_size);
    parts.down = whole(fmt::format("{}{}.weight", block, down), c_.hidden_size, f);
    return parts;
  }

  FfnParts build_expert(const std::string& ffn, int64_t expert) {
    if (layout_.experts == ExpertLayout::per_expert)
      return separate(fmt::format("{}experts.{}.", ffn, expert), layout_.gate, layout_.up, layout_.down,
                      c_.expert_ffn_size);
    FfnParts parts;
    parts.gate_up = slice(ffn + "experts.gate_up_proj", expert, 2 * c_.expert_ffn_size, c_.hidden_size);
    parts.down = slice(ffn + "experts.down_proj", expert, c_.hidden_size, c_.expert_ffn_size);
    return parts;
  }

  TensorPart slice(const std::string& tensor_name, int64_t expert, int64_t out, int64_t in) {
    const bool transposed = layout_.experts == ExpertLayout::fused_transposed;
    const int64_t rows = transposed ? in : out, columns = transposed ? out : in;
    const TensorInfo* tensor = claim(tensor_name, {c_.num_experts, rows, columns});
    const uint64_t bytes = tensor == nullptr ? 0 : tensor->bytes / static_cast<uint64_t>(c_.num_experts);
    return {tensor,     bytes * static_cast<uint64_t>(expert),        bytes, rows, columns,
            transposed, fmt::format("{}#{:06d}", tensor_name, expert)};
  }

  /// Of what no rule claims, what may be skipped: "… tensors skipped …", or empty.
  std::string check_nothing_left() {
    int64_t computed = 0, empty = 0;
    for (const auto& [tensor_name, tensor] : checkpoint_.tensors()) {
      if (claimed_.contains(tensor_name)) continue;
      if (is_computed(tensor_name))
        ++computed;
      else if (tensor.bytes == 0)
        ++empty;
      else
        problems_[tensor_name] =
            fmt::format("{} {} belongs to no part of a {} model", tensor.dtype_name, tensor.shape_str(), c_.family);
    }
    if (computed + empty == 0) return {};
    return fmt::format("{} tensors skipped: {} of rotary embedding's tables, {} without elements", computed + empty,
                       computed, empty);
  }

  void fail_if_wrong() const {
    if (problems_.empty()) return;
    constexpr size_t kNamed = 8;
    std::vector<std::string> named;
    for (const auto& [tensor_name, problem] : problems_) {
      if (named.size() == kNamed) break;
      named.push_back(fmt::format("tensor {} {}", tensor_name, problem));
    }
    const std::string count = problems_.size() == 1 ? "" : fmt::format("{} problems: ", problems_.size());
    fail(ExitCode::input, "{}: {}{}{}", subject_, count, fmt::join(named, "; "),
         problems_.size() > kNamed ? fmt::format("; and {} more", problems_.size() - kNamed) : "");
  }

  const Checkpoint& checkpoint_;
  const ModelConfig& c_;
  const TensorLayout& layout_;
  std::string_view subject_;
  std::set<std::string_view> claimed_;
  std::map<std::string, std::string> problems_;  ///< by tensor: that it is missing, of another shape, …
};

int64_t first_moe_layer(const ModelConfig& config) {
  int64_t layer = 0;
  while (!config.moe_layer[static_cast<size_t>(layer)]) ++layer;
  return layer;
}

bool holds(const Checkpoint& checkpoint, const ModelConfig& config, const TensorLayout& layout) {
  const std::string experts =
      fmt::format("{}layers.{}.{}.experts.", layout.prefix, first_moe_layer(config), layout.ffn);
  return checkpoint.find(layout.experts == ExpertLayout::per_expert ? fmt::format("{}0.{}.weight", experts, layout.gate)
                                                                    : experts + "gate_up_proj") != nullptr;
}

}  // namespace

TensorTable make_tensor_table(const Checkpoint& checkpoint, const ModelConfig& config, std::string_view subject) {
  const Family* family = find_family(config.family);
  SWITCHYARD_CHECK(family != nullptr, "a configuration of family {}", config.family);
  const TensorLayout* chosen = &family->layouts.front();  // whose missing tensors are then named
  for (const TensorLayout& layout : family->layouts) {
    if (!holds(checkpoint, config, layout)) continue;
    chosen = &layout;
    break;
  }
  return TableBuilder(checkpoint, config, *chosen, subject).build();
}

}  // namespace switchyard
