#include "model/checkpoint/tensor_table.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <unordered_set>

#include "base/log.h"
#include "model/checkpoint/tensor_layout.h"

namespace switchyard {
namespace {

/// Older versions of transformers stored what they compute from rope_theta.
bool is_computed(std::string_view tensor_name) {
  return tensor_name.ends_with(".rotary_emb.inv_freq") || tensor_name.ends_with(".rotary_emb.cos_cached") ||
         tensor_name.ends_with(".rotary_emb.sin_cached");
}

/// Of a tensor that is there as it should be, and has values of this shape; slice: as in FilePart.
StoredMatrix matrix_of(const Checkpoint& checkpoint, const WantedTensor& wanted, const std::vector<int64_t>& shape,
                       int64_t slice) {
  const TensorInfo* tensor = checkpoint.find(wanted.name);
  const size_t axes = shape.size() - (slice < 0 ? 0 : 1);
  StoredMatrix matrix{.tensor = tensor,
                      .bytes = tensor->bytes,
                      .rows = axes == 1 ? 1 : shape[shape.size() - 2],
                      .columns = shape.back(),
                      .decode = find_dtype(wanted.dtypes, tensor->dtype_name)->decode,
                      .id = wanted.name};
  if (slice < 0) return matrix;
  matrix.bytes /= static_cast<uint64_t>(shape[0]);
  matrix.first_byte = matrix.bytes * static_cast<uint64_t>(slice);
  matrix.first_element = matrix.elements() * static_cast<uint64_t>(slice);
  matrix.id += fmt::format("#{:06d}", slice);
  return matrix;
}

TensorPart part_of(const Checkpoint& checkpoint, const ModelConfig& c, const FilePart& stored) {
  const StoredForm form = stored_form(checkpoint, c, stored.name, stored.shape);
  TensorPart part{.weights = matrix_of(checkpoint, form.weights, stored.shape, stored.slice),
                  .scales = {},
                  .block_rows = form.block_rows,
                  .block_columns = form.block_columns,
                  .transposed = stored.transposed,
                  .interleaved = stored.interleaved};
  if (form.scales) part.scales = matrix_of(checkpoint, *form.scales, form.scales->shape, stored.slice);
  return part;
}

/// Holds a checkpoint against what a model needs.
class Claims {
 public:
  Claims(const Checkpoint& checkpoint, const ModelConfig& config, std::string_view subject)
      : checkpoint_(checkpoint), config_(config), subject_(subject) {}

  void claim(const FilePart& stored) {
    const StoredForm form = stored_form(checkpoint_, config_, stored.name, stored.shape);
    claim(form.weights);
    if (form.scales) claim(*form.scales);
    if (!form.problem.empty()) problems_[form.weights.name] = form.problem;
  }

  /// Fails if anything was wrong, or is left that may not be skipped. Returns the names of what is.
  std::vector<std::string> finish() {
    std::vector<std::string> skipped;
    int64_t computed = 0, empty = 0, further = 0, other = 0;
    for (const auto& [tensor_name, tensor] : checkpoint_.tensors()) {
      if (claimed_.contains(&tensor)) continue;
      if (is_computed(tensor_name))
        ++computed;
      else if (tensor.bytes == 0)
        ++empty;
      else if (is_of_prediction_layer(tensor_name))
        ++further;
      else if (is_of_other_modality(tensor_name))
        ++other;
      else
        problems_[tensor_name] = fmt::format("{} {} belongs to no part of a {} model", tensor.dtype_name,
                                             tensor.shape_str(), config_.family);
      if (checkpoint_.is_patched(tensor_name))
        problems_[tensor_name] = "is changed by a delta, but no part of the model";
      skipped.push_back(tensor_name);
    }
    fail_if_wrong();
    if (skipped.empty()) return skipped;
    std::vector<std::string> kinds;
    const auto add = [&](int64_t count, std::string_view what) {
      if (count > 0) kinds.push_back(fmt::format("{} {}", count, what));
    };
    add(computed, "of rotary embedding's tables");
    add(empty, "without elements");
    add(further, "of layers that predict tokens further ahead");
    add(other, "of other modalities than text");
    log::info("{}: {} tensors skipped: {}", subject_, skipped.size(), fmt::join(kinds, ", "));
    return skipped;
  }

 private:
  /// "model.layers.N.…" with N beyond the last layer: released files of DeepSeek-V3 and GLM-4.5 go on so.
  bool is_of_prediction_layer(std::string_view tensor_name) const {
    for (int64_t i = 0; i < config_.prediction_layers; ++i)
      if (tensor_name.starts_with(fmt::format("model.layers.{}.", config_.num_layers() + i))) return true;
    return false;
  }
  bool is_of_other_modality(std::string_view tensor_name) const {
    return std::ranges::any_of(family_of(config_).other_modalities,
                               [&](std::string_view prefix) { return tensor_name.starts_with(prefix); });
  }

  void claim(const WantedTensor& wanted) {
    const TensorInfo* tensor = checkpoint_.find(wanted.name);
    if (tensor == nullptr) {
      problems_[wanted.name] = "is missing";
      return;
    }
    claimed_.insert(tensor);
    if (find_dtype(wanted.dtypes, tensor->dtype_name) == nullptr)
      problems_[wanted.name] = fmt::format("is {}, expected {}", tensor->dtype_name, names_of(wanted.dtypes));
    else if (tensor->shape != wanted.shape)
      problems_[wanted.name] = fmt::format("is {}, expected [{}]", tensor->shape_str(), fmt::join(wanted.shape, ", "));
  }

  /// "F32, BF16 or F16"
  static std::string names_of(std::span<const StoredDType> dtypes) {
    std::string names;
    for (const StoredDType& dtype : dtypes) {
      if (!names.empty()) names += &dtype == &dtypes.back() ? " or " : ", ";
      names += dtype.name;
    }
    return names;
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
  const ModelConfig& config_;
  std::string_view subject_;
  std::unordered_set<const TensorInfo*> claimed_;
  std::map<std::string, std::string> problems_;  ///< by tensor: that it is missing, of another shape, …
};

/// How well a layout's tensor is what the checkpoint has: the more the better.
enum class Fit : uint8_t { of_another_storage, missing, of_another_shape, there };

Fit fit_of(const Checkpoint& checkpoint, const ModelConfig& c, const TensorLayout& layout, const FilePart& stored) {
  const StoredForm form = stored_form(checkpoint, c, stored.name, stored.shape);
  const TensorInfo* tensor = checkpoint.find(form.weights.name);
  const bool coded = form.scales || (tensor == nullptr && c.quantised() != nullptr);
  if (layout.stored_as == (coded ? StoredAs::numbers : StoredAs::codes)) return Fit::of_another_storage;
  if (tensor == nullptr) return form.scales ? Fit::of_another_shape : Fit::missing;
  return tensor->shape == form.weights.shape ? Fit::there : Fit::of_another_shape;
}

/// The family's layout that fits best, by a layer's first expert; of equal ones the first. What is missing, or of
/// another shape, is named then.
const TensorLayout& layout_of(const Checkpoint& checkpoint, const ModelConfig& c) {
  Parameter gate{.layer = c.first_moe_layer(),
                 .expert = 0,
                 .block = "mlp.experts.",
                 .module = "gate_proj",
                 .shape = {c.moe().expert_size, c.hidden_size}};
  Parameter up = gate;
  up.module = "up_proj";
  const StoredTensor expert{.parts = {gate, up}, .num_parts = 2};
  return *std::ranges::max_element(family_of(c).layouts, {}, [&](const TensorLayout& layout) {
    return fit_of(checkpoint, c, layout, file_parts(c, layout, expert).front());
  });
}

}  // namespace

TensorTable::TensorTable(const Checkpoint& checkpoint, const ModelConfig& config, std::string_view subject)
    : checkpoint_(checkpoint), config_(config), layout_(layout_of(checkpoint, config)) {
  Claims claims(checkpoint, config, subject);
  std::vector<int> experts(static_cast<size_t>(config.num_experts()));
  std::iota(experts.begin(), experts.end(), 0);
  for_each_tensor(config, experts, nullptr, [&](const StoredTensor& tensor) {
    for (const FilePart& stored : file_parts(config, layout_, tensor)) claims.claim(stored);
  });
  const FilePart head{respelled(layout_, "lm_head.weight"), {config.vocab_size, config.hidden_size}};
  const bool copied = config.tied_embeddings && checkpoint.find(head.name) != nullptr;
  if (copied) claims.claim(head);
  skipped_ = claims.finish();
  if (!copied) return;
  const FilePart embed{respelled(layout_, "model.embed_tokens.weight"), head.shape};
  tied_copy_ = {part_of(checkpoint, config, embed), part_of(checkpoint, config, head)};
}

std::vector<TensorPart> TensorTable::parts_of(const StoredTensor& tensor) const {
  std::vector<TensorPart> parts;
  for (const FilePart& stored : file_parts(config_, layout_, tensor))
    parts.push_back(part_of(checkpoint_, config_, stored));
  return parts;
}

void check_headers(const ModelConfig& config, const std::filesystem::path& directory,
                   std::span<const std::filesystem::path> deltas) {
  const Checkpoint checkpoint(directory, deltas);
  const TensorTable table(checkpoint, config, directory.native());
}

}  // namespace switchyard
