// What checkpoints of a layout call a model's tensors, and how values lie in them.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "model/config/family.h"
#include "model/parameters.h"

namespace switchyard {

/// A tensor by the file's name of it, or one expert's slice of it.
struct FilePart {
  std::string name;
  std::vector<int64_t> shape;  ///< of all slices
  int64_t slice = -1;          ///< -1: all of it
  bool transposed = false;     ///< stored [in, out]
  bool interleaved = false;    ///< outputs are stored one of gate, one of up, …
};

/// A canonical name as the layout spells it.
std::string respelled(const TensorLayout& layout, std::string name);

/// What a checkpoint of this layout has of a tensor, top to bottom.
std::vector<FilePart> file_parts(const ModelConfig& config, const TensorLayout& layout, const StoredTensor& tensor);

/// The layout that a family's checkpoints have on the hub, where weights are numbers.
const TensorLayout& hub_layout(const ModelConfig& config);

std::vector<int64_t> extents(const Shape& shape);

/// Where a stored output comes in a tensor [out, in]: gate's and up's may be stored by turns.
inline int64_t place_of(int64_t output, int64_t num_outputs, bool interleaved) {
  return interleaved ? output % 2 * (num_outputs / 2) + output / 2 : output;
}

/// Of a part stored [in, out], or of a vector, rows × columns as stored: move(stored, at) for each value in rows
/// [first, end), with its index there and the one in [out, in]. In blocks, for both sides' caches.
template <class Move>
void for_each_turned(int64_t rows, int64_t columns, bool interleaved, int64_t first, int64_t end, const Move& move) {
  constexpr int64_t kBlock = 32;
  for (int64_t r0 = first; r0 < end; r0 += kBlock)
    for (int64_t c0 = 0; c0 < columns; c0 += kBlock)
      for (int64_t r = r0; r < std::min(end, r0 + kBlock); ++r)
        for (int64_t c = c0; c < std::min(columns, c0 + kBlock); ++c)
          move(static_cast<size_t>(r * columns + c), static_cast<size_t>(place_of(c, columns, interleaved) * rows + r));
}

}  // namespace switchyard
