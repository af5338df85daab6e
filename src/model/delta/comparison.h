// A trained model against the one it began as, in the order of the latter's stored elements.
#pragma once

#include <functional>
#include <span>

#include "model/checkpoint/tensor_table.h"

namespace switchyard {

/// Some elements of one of the base's tensors.
struct ComparedPiece {
  const TensorInfo& tensor;           ///< of the base
  uint64_t first = 0;                 ///< index of the first of these elements
  std::span<const std::byte> base;    ///< as the base stores them
  std::span<const std::byte> result;  ///< as the base would store the trained ones
  std::span<const float> values;      ///< the trained ones
  std::span<const float> rounded;     ///< what `result` stands for

  size_t element_bytes() const { return base.size() / values.size(); }
  bool begins() const { return first == 0; }
  bool ends() const { return (first + values.size()) * element_bytes() == tensor.bytes; }
};

/// Visits all of the base's tensors that are part of the model, one after the other, each from its first element to its
/// last. The trained model may lie otherwise in its files and be stored in another dtype: its values are rounded as an
/// export rounds them. Fails (input) where the two are not of one shape, or the base is codes, naming a tensor. Takes
/// some megabytes, or the matrices of an expert where they are stored turned.
void compare_models(const TensorTable& base, const TensorTable& trained,
                    const std::function<void(const ComparedPiece&)>& visit);

}  // namespace switchyard
