#include "model/export/export_plan.h"

#include <numeric>
#include <unordered_map>

#include "model/checkpoint/tensor_layout.h"
#include "model/export/base_files.h"

namespace switchyard {
namespace {

std::optional<DType> dtype_of_all(ExportDType dtype) {
  switch (dtype) {
    case ExportDType::f32:
      return DType::f32;
    case ExportDType::bf16:
      return DType::bf16;
    case ExportDType::base:
      break;
  }
  return {};
}

/// Tensors in the order of the model's parameters, slices of a fused one gathered in it.
class Gatherer {
 public:
  void add(const FilePart& part, std::span<const Parameter> parameters, DType dtype, bool tied) {
    const auto [at, is_new] = index_.try_emplace(part.name, tensors_.size());
    if (is_new)
      tensors_.push_back({.spec = {part.name, dtype, part.shape},
                          .num_together = parameters.size(),
                          .transposed = part.transposed,
                          .interleaved = part.interleaved,
                          .tied = tied});
    std::vector<Parameter>& all = tensors_[at->second].parameters;
    SWITCHYARD_CHECK(std::cmp_equal(all.size(), std::max<int64_t>(part.slice, 0) * std::ssize(parameters)),
                     "tensor {}: slice {} after {} parameters", part.name, part.slice, all.size());
    all.insert(all.end(), parameters.begin(), parameters.end());
  }

  std::vector<ExportTensor> take() { return std::move(tensors_); }

 private:
  std::vector<ExportTensor> tensors_;
  std::unordered_map<std::string, size_t> index_;
};

/// dtype_of(tensor, i): of what stores its part i.
template <class DTypeOf>
std::vector<ExportTensor> tensors_of(const ModelConfig& config, const TensorLayout& layout, bool has_tied_copy,
                                     const DTypeOf& dtype_of) {
  std::vector<int> experts(static_cast<size_t>(config.num_experts()));
  std::iota(experts.begin(), experts.end(), 0);
  Gatherer tensors;
  for_each_tensor(config, experts, nullptr, [&](const StoredTensor& tensor) {
    if (tensor.tied && !has_tied_copy) return;
    std::vector<FilePart> parts = file_parts(config, layout, tensor);
    if (tensor.tied) parts[0].name = respelled(layout, "lm_head.weight");
    const auto all = tensor.parameters();
    for (size_t i = 0; i < parts.size(); ++i)
      tensors.add(parts[i], parts.size() == 1 ? all : all.subspan(i, 1), dtype_of(tensor, i), tensor.tied);
  });
  return tensors.take();
}

DType stored_dtype(const TensorPart& part) {
  const TensorInfo& tensor = *part.weights.tensor;
  if (part.scales)
    fail(ExitCode::input,
         "tensor {}: {} codes with scales, which cannot be written again: expected --export f32 or bf16", tensor.name,
         tensor.dtype_name);
  const auto dtype = dtype_of_tensor(tensor.dtype_name);
  SWITCHYARD_CHECK(dtype.has_value(), "tensor {}: {}", tensor.name, tensor.dtype_name);
  return *dtype;
}

/// Greedily, in order; called as Hugging Face calls them.
std::vector<ExportFile> split_into_files(std::vector<ExportTensor> tensors, uint64_t max_bytes) {
  std::vector<ExportFile> files(1);
  uint64_t used = 0;
  for (ExportTensor& tensor : tensors) {
    const uint64_t bytes = tensor.spec.bytes();
    if (used > 0 && used + bytes > max_bytes) {
      files.emplace_back();
      used = 0;
    }
    used += bytes;
    files.back().tensors.push_back(std::move(tensor));
  }
  for (size_t i = 0; i < files.size(); ++i) {
    files[i].name = files.size() == 1 ? std::string(kWeightsFile)
                                      : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, files.size());
    std::ranges::stable_sort(files[i].tensors, kWiderFirst, &ExportTensor::spec);
  }
  return files;
}

}  // namespace

uint64_t ExportPlan::bytes() const {
  uint64_t sum = 0;
  for (const ExportFile& file : files)
    for (const ExportTensor& tensor : file.tensors) sum += tensor.spec.bytes();
  return sum;
}

size_t ExportPlan::working_bytes() const {
  size_t most = 0;
  for (const ExportFile& file : files)
    for (const ExportTensor& tensor : file.tensors)
      for_each_piece(tensor, [&](std::span<const ParameterRows> piece) {
        size_t elements = 0;
        for (const ParameterRows& rows : piece) elements += rows.elements();
        // As they come, as they are stored, and as they are encoded.
        const size_t copies = tensor.is_turned() ? 2 : 1;
        most = std::max(most, elements * (copies * sizeof(float) + size_of(tensor.spec.dtype)));
      });
  return most;
}

void ExportPlan::for_each_request(const std::function<void(const ParameterRows&)>& visit) const {
  for (const ExportFile& file : files)
    for (const ExportTensor& tensor : file.tensors)
      for_each_piece(tensor, [&](std::span<const ParameterRows> piece) { std::ranges::for_each(piece, visit); });
}

void for_each_piece(const ExportTensor& tensor, const std::function<void(std::span<const ParameterRows>)>& visit) {
  if (tensor.is_turned()) {
    std::vector<ParameterRows> piece;
    for (const Parameter& p : tensor.parameters) {
      piece.push_back({p, 0, p.shape[0]});
      if (piece.size() < tensor.num_together) continue;
      visit(piece);
      piece.clear();
    }
    return;
  }
  for (const Parameter& p : tensor.parameters) {
    const int64_t rows = p.shape[0], at_once = std::max<int64_t>(kExportedAtOnce / p.row_elements(), 1);
    for (int64_t first = 0; first < rows; first += at_once) {
      const ParameterRows block{p, first, std::min(at_once, rows - first)};
      visit({&block, 1});
    }
  }
}

ExportPlan plan_export(const TensorTable& base, ExportDType dtype, uint64_t max_file_bytes) {
  const ModelConfig& config = base.config();
  const bool has_tied_copy = base.tied_copy().has_value();
  const TensorLayout& layout = base.layout().stored_as == StoredAs::codes ? hub_layout(config) : base.layout();
  ExportPlan plan{.dtype = dtype_of_all(dtype), .left_out = base.skipped()};
  const auto dtype_of = [&](const StoredTensor& tensor, size_t i) {
    if (plan.dtype) return *plan.dtype;
    return stored_dtype(tensor.tied ? base.tied_copy()->head : base.parts_of(tensor)[i]);
  };
  plan.files = split_into_files(tensors_of(config, layout, has_tied_copy, dtype_of), max_file_bytes);
  return plan;
}

ExportPlan plan_export(const ModelConfig& config, const std::filesystem::path& init, ExportDType dtype,
                       uint64_t max_file_bytes) {
  ExportPlan plan{.dtype = dtype == ExportDType::base ? named_dtype(init) : dtype_of_all(dtype)};
  const auto dtype_of = [&](const StoredTensor&, size_t) { return *plan.dtype; };
  plan.files = split_into_files(tensors_of(config, hub_layout(config), false, dtype_of), max_file_bytes);
  return plan;
}

}  // namespace switchyard
