#include "model/tensor_table.h"

#include <map>
#include <numeric>
#include <unordered_set>

#include "base/log.h"

namespace switchyard {
namespace {

constexpr std::string_view kHead = "lm_head.weight";

/// Older versions of transformers stored what they compute from rope_theta.
bool is_computed(std::string_view tensor_name) {
  return tensor_name.ends_with(".rotary_emb.inv_freq") || tensor_name.ends_with(".rotary_emb.cos_cached") ||
         tensor_name.ends_with(".rotary_emb.sin_cached");
}

/// A tensor of the file, or one expert's slice of it.
struct Stored {
  std::string name;
  std::vector<int64_t> shape;  ///< of the file's tensor
  int64_t slice = -1;          ///< -1: all of it
  bool transposed = false;
};

std::string respelled(const TensorLayout& layout, std::string name) {
  for (const Spelling& spelling : layout.spellings)
    if (const size_t at = name.find(spelling.canonical); at != name.npos)
      name.replace(at, spelling.canonical.size(), spelling.stored);
  return name;
}

std::vector<int64_t> extents(const Shape& shape) {
  std::vector<int64_t> all;
  for (int axis = 0; axis < shape.rank(); ++axis) all.push_back(shape[axis]);
  return all;
}

Stored slice_of_fused(const ModelConfig& c, const TensorLayout& layout, const StoredTensor& tensor) {
  const Parameter& p = tensor.parts[0];
  const std::string name = p.block_name() + (tensor.num_parts == 2 ? "gate_up_proj" : "down_proj");
  const bool transposed = layout.experts == ExpertLayout::fused_transposed;
  const Shape shape = tensor.shape();
  const int64_t experts = c.layers[static_cast<size_t>(p.layer)].moe()->router.num_experts;
  return {
      respelled(layout, name), {experts, shape[transposed ? 1 : 0], shape[transposed ? 0 : 1]}, p.expert, transposed};
}

/// What a checkpoint of this layout has of a tensor, top to bottom.
std::vector<Stored> stored_as(const ModelConfig& c, const TensorLayout& layout, const StoredTensor& tensor) {
  if (tensor.of_expert() && layout.experts != ExpertLayout::per_expert) return {slice_of_fused(c, layout, tensor)};
  std::vector<Stored> all;
  for (const Parameter& p : tensor.parameters()) all.push_back({respelled(layout, p.name()), extents(p.shape)});
  return all;
}

/// Of a tensor that is there as it should be.
TensorPart part_of(const Checkpoint& checkpoint, const Stored& stored) {
  const TensorInfo* tensor = checkpoint.find(stored.name);
  const std::vector<int64_t>& shape = stored.shape;
  TensorPart part{.tensor = tensor,
                  .bytes = tensor->bytes,
                  .rows = shape.size() == 1 ? 1 : shape[shape.size() - 2],
                  .columns = shape.back(),
                  .transposed = stored.transposed,
                  .id = stored.name};
  if (stored.slice < 0) return part;
  part.bytes /= static_cast<uint64_t>(shape[0]);
  part.first_byte = part.bytes * static_cast<uint64_t>(stored.slice);
  part.id += fmt::format("#{:06d}", stored.slice);
  return part;
}

/// Holds a checkpoint against what a model needs.
class Claims {
 public:
  Claims(const Checkpoint& checkpoint, std::string_view subject) : checkpoint_(checkpoint), subject_(subject) {}

  void claim(const Stored& stored) {
    const TensorInfo* tensor = checkpoint_.find(stored.name);
    if (tensor == nullptr) {
      problems_[stored.name] = "is missing";
      return;
    }
    claimed_.insert(tensor);
    if (!tensor->has_dtype)
      problems_[stored.name] = fmt::format("is {}, expected F32, BF16 or F16", tensor->dtype_name);
    else if (tensor->shape != stored.shape)
      problems_[stored.name] = fmt::format("is {}, expected [{}]", tensor->shape_str(), fmt::join(stored.shape, ", "));
  }

  /// Fails if anything was wrong, or is left that may not be skipped.
  void finish(std::string_view family) {
    int64_t computed = 0, empty = 0;
    for (const auto& [tensor_name, tensor] : checkpoint_.tensors()) {
      if (claimed_.contains(&tensor)) continue;
      if (is_computed(tensor_name))
        ++computed;
      else if (tensor.bytes == 0)
        ++empty;
      else
        problems_[tensor_name] =
            fmt::format("{} {} belongs to no part of a {} model", tensor.dtype_name, tensor.shape_str(), family);
    }
    fail_if_wrong();
    if (computed + empty > 0)
      log::info("{}: {} tensors skipped: {} of rotary embedding's tables, {} without elements", subject_,
                computed + empty, computed, empty);
  }

 private:
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
  std::string_view subject_;
  std::unordered_set<const TensorInfo*> claimed_;
  std::map<std::string, std::string> problems_;  ///< by tensor: that it is missing, of another shape, …
};

/// The family's layout whose expert tensors are there; the first one if none is, whose missing tensors are then named.
const TensorLayout& layout_of(const Checkpoint& checkpoint, const ModelConfig& c) {
  const Family* family = find_family(c.family);
  SWITCHYARD_CHECK(family != nullptr, "a configuration of family {}", c.family);
  const Parameter gate{
      c.first_moe_layer(), 0, "mlp.experts.", "gate_proj.weight", {c.moe().expert_size, c.hidden_size}};
  Parameter up = gate;
  up.leaf = "up_proj.weight";
  const StoredTensor expert{.parts = {gate, up}, .num_parts = 2};
  for (const TensorLayout& layout : family->layouts)
    if (checkpoint.find(stored_as(c, layout, expert).front().name) != nullptr) return layout;
  return family->layouts.front();
}

}  // namespace

TensorTable::TensorTable(const Checkpoint& checkpoint, const ModelConfig& config, std::string_view subject)
    : checkpoint_(checkpoint), config_(config), layout_(layout_of(checkpoint, config)) {
  Claims claims(checkpoint, subject);
  std::vector<int> experts(static_cast<size_t>(config.num_experts()));
  std::iota(experts.begin(), experts.end(), 0);
  for_each_tensor(config, experts, nullptr, [&](const StoredTensor& tensor) {
    for (const Stored& stored : stored_as(config, layout_, tensor)) claims.claim(stored);
  });
  const Stored head{std::string(kHead), {config.vocab_size, config.hidden_size}};
  const bool copied = config.tied_embeddings && checkpoint.find(kHead) != nullptr;
  if (copied) claims.claim(head);
  claims.finish(config.family);
  if (!copied) return;
  const Stored embed{respelled(layout_, "model.embed_tokens.weight"), head.shape};
  tied_copy_ = {part_of(checkpoint, embed), part_of(checkpoint, head)};
}

std::vector<TensorPart> TensorTable::parts_of(const StoredTensor& tensor) const {
  std::vector<TensorPart> parts;
  for (const Stored& stored : stored_as(config_, layout_, tensor)) parts.push_back(part_of(checkpoint_, stored));
  return parts;
}

}  // namespace switchyard
