#include "train/parameters/parameter_space.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace switchyard {
namespace {

using Kind = ParameterBlock::Kind;

Kind kind_of(const Parameter& p) {
  if (p.expert >= 0) return Kind::expert;
  if (p.layer < 0) {
    if (p.module == "model.embed_tokens") return Kind::embeddings;
    return p.module == "lm_head" ? Kind::head : Kind::norm;
  }
  return p.block == "self_attn." || p.module == "input_layernorm" ? Kind::self_attention : Kind::feed_forward;
}

}  // namespace

std::string ParameterBlock::name() const {
  const Parameter& p = tensors.front().tensor.parameters().front();
  switch (kind) {
    case Kind::expert:
      return fmt::format("{}{}", p.block_name(), expert);
    case Kind::self_attention:
      return fmt::format("model.layers.{}.self_attn", layer);
    case Kind::feed_forward:
      return fmt::format("model.layers.{}.mlp", layer);
    default:
      return p.name();
  }
}

ParameterSpace::ParameterSpace(const ModelConfig& config)
    : first_of_layer_(config.layers.size()), tied_(config.tied_embeddings) {
  std::vector<int> experts(config.num_moe_layers() > 0 ? static_cast<size_t>(config.num_experts()) : 0);
  std::iota(experts.begin(), experts.end(), 0);
  // The walk goes through a layer's experts before its shared expert, which is held with the router: blocks are made in
  // their own order, and filled as the walk comes to their tensors.
  blocks_.push_back({.kind = Kind::embeddings});
  if (!tied_) blocks_.push_back({.kind = Kind::head});
  blocks_.push_back({.kind = Kind::norm});
  for (size_t layer = 0; layer < config.layers.size(); ++layer) {
    first_of_layer_[layer] = blocks_.size();
    const auto index = static_cast<int64_t>(layer);
    blocks_.push_back({.kind = Kind::self_attention, .layer = index});
    blocks_.push_back({.kind = Kind::feed_forward, .layer = index});
    if (config.layers[layer].moe() == nullptr) continue;
    for (const int expert : experts) blocks_.push_back({.kind = Kind::expert, .layer = index, .expert = expert});
  }
  for_each_tensor(config, experts, nullptr, [&](const StoredTensor& tensor) {
    if (tensor.tied) return;
    ParameterBlock& block = blocks_[block_of(tensor)];
    const bool is_router = block.kind == Kind::feed_forward && tensor.parameters().front().module == "gate";
    const bool is_selection_bias = is_router && tensor.parameters().front().kind == Parameter::kSelectionBias;
    block.tensors.push_back({tensor, block.elements, tensor.shape().rank() > 1, is_router, is_selection_bias});
    block.elements += tensor.shape().elements();
  });
  for (size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i].first = num_elements_;
    first_chunks_.push_back(num_chunks_);
    num_elements_ += blocks_[i].elements;
    num_chunks_ += num_chunks(i);
  }
}

size_t ParameterSpace::block_of(const StoredTensor& tensor) const {
  const Parameter& p = tensor.parameters().front();
  return block_of(tensor.tied ? Kind::embeddings : kind_of(p), p.layer, p.expert);
}

std::pair<size_t, int64_t> ParameterSpace::place_of(const Parameter& parameter) const {
  const size_t index = block_of(kind_of(parameter), parameter.layer, parameter.expert);
  const std::string name = parameter.name();
  if (index == 0) return {0, 0};
  for (const BlockTensor& t : blocks_[index].tensors) {
    int64_t offset = t.offset;
    for (const Parameter& p : t.tensor.parameters()) {
      if (p.name() == name) return {index, offset};
      offset += p.shape.elements();
    }
  }
  fail(ExitCode::internal, "{} has no parameter {}", blocks_[index].name(), name);
}

size_t ParameterSpace::block_of(Kind kind, int64_t layer, int64_t expert) const {
  switch (kind) {
    case Kind::embeddings:
      return 0;
    case Kind::head:
      return tied_ ? 0 : 1;
    case Kind::norm:
      return tied_ ? 1 : 2;
    case Kind::self_attention:
      return first_of_layer_[static_cast<size_t>(layer)];
    case Kind::feed_forward:
      return first_of_layer_[static_cast<size_t>(layer)] + 1;
    case Kind::expert:
      return first_of_layer_[static_cast<size_t>(layer)] + 2 + static_cast<size_t>(expert);
  }
  return 0;
}

std::string ParameterSpace::element_name(int64_t element) const {
  const auto after = std::ranges::upper_bound(blocks_, element, {}, &ParameterBlock::first);
  const ParameterBlock& block = *std::prev(after);
  int64_t rest = element - block.first;
  for (const BlockTensor& t : block.tensors)
    for (const Parameter& p : t.tensor.parameters()) {
      if (rest < p.shape.elements()) {
        if (p.shape.rank() == 1) return fmt::format("{}[{}]", p.name(), rest);
        return fmt::format("{}[{}, {}]", p.name(), rest / p.shape[1], rest % p.shape[1]);
      }
      rest -= p.shape.elements();
    }
  return block.name();
}

}  // namespace switchyard
