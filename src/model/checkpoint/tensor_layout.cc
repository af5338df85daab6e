#include "model/checkpoint/tensor_layout.h"

namespace switchyard {
namespace {

/// "….experts.gate_up_proj", "….experts.down_proj_bias"
std::string fused_name(const StoredTensor& tensor) {
  const Parameter& p = tensor.parts[0];
  std::string name = p.block_name() + (tensor.num_parts == 2 ? "gate_up_proj" : std::string(p.module));
  if (p.kind != ".weight") name += fmt::format("_{}", p.kind.substr(1));
  return name;
}

FilePart slice_of_fused(const ModelConfig& c, const TensorLayout& layout, const StoredTensor& tensor) {
  const Parameter& p = tensor.parts[0];
  FilePart part{.name = respelled(layout, fused_name(tensor)), .shape = extents(tensor.shape()), .slice = p.expert};
  part.transposed = part.shape.size() == 2 && layout.experts == ExpertLayout::fused_transposed;
  part.interleaved = tensor.num_parts == 2 && layout.gate_up == GateUpOrder::interleaved;
  if (part.transposed) std::ranges::reverse(part.shape);
  part.shape.insert(part.shape.begin(), c.layers[static_cast<size_t>(p.layer)].moe()->router.num_experts);
  return part;
}

}  // namespace

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

std::vector<FilePart> file_parts(const ModelConfig& c, const TensorLayout& layout, const StoredTensor& tensor) {
  if (tensor.of_expert() && layout.experts != ExpertLayout::per_expert) return {slice_of_fused(c, layout, tensor)};
  std::vector<FilePart> all;
  for (const Parameter& p : tensor.parameters()) all.push_back({respelled(layout, p.name()), extents(p.shape)});
  return all;
}

const TensorLayout& hub_layout(const ModelConfig& config) {
  return *std::ranges::find_if(family_of(config).layouts,
                               [](const TensorLayout& layout) { return layout.stored_as != StoredAs::codes; });
}

}  // namespace switchyard
