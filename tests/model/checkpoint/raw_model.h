// Checkpoints made up for a test: the tensors that it is not about.
#pragma once

#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "model/parameters.h"
#include "tests/support/raw_safetensors.h"

namespace switchyard::test {

/// A tensor in F32, of small numbers that depend on its name and their place.
inline RawTensor plain_tensor(const std::string& name, const std::vector<int64_t>& shape) {
  const int64_t elements = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies{});
  std::vector<float> values;
  for (int64_t i = 0; i < elements; ++i)
    values.push_back(static_cast<float>((i * 7919 + std::ssize(name)) % 1009 - 504) / 8192);
  return {name, "F32", shape, raw_bytes(values)};
}

/// One for each of the model's parameters, but those whose names hold `except`.
inline std::vector<RawTensor> plain_tensors(const ModelConfig& config, std::string_view except) {
  std::vector<int> experts(static_cast<size_t>(config.num_experts()));
  std::iota(experts.begin(), experts.end(), 0);
  std::vector<RawTensor> tensors;
  for_each_tensor(config, experts, nullptr, [&](const StoredTensor& tensor) {
    if (tensor.tied) return;
    for (const Parameter& p : tensor.parameters()) {
      std::vector<int64_t> shape;
      for (int axis = 0; axis < p.shape.rank(); ++axis) shape.push_back(p.shape[axis]);
      if (p.name().find(except) == std::string::npos) tensors.push_back(plain_tensor(p.name(), shape));
    }
  });
  return tensors;
}

}  // namespace switchyard::test
