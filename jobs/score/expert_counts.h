// How many tokens went through each expert of each layer: (token, slot) assignments. A function of the records alone.
#pragma once

#include <cstdint>
#include <vector>

#include "base/tensor.h"

namespace switchyard {

struct ExpertCounts {
  int64_t layers = 0, experts = 0;
  std::vector<int64_t> tokens;  ///< [layers, experts]; zeros in dense layers

  static ExpertCounts zeros(int64_t layers, int64_t experts);

  View view() { return {tokens.data(), {layers, experts}, DType::i64}; }
  ConstView view() const { return {tokens.data(), {layers, experts}, DType::i64}; }
  void add(const ExpertCounts& other);       ///< of the same shape
  void subtract(const ExpertCounts& other);  ///< of the same shape
  int64_t of_layer(int64_t layer) const;     ///< all experts together
  bool operator==(const ExpertCounts&) const = default;
};

}  // namespace switchyard
