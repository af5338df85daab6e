// How products' kernels start. Included by product_*.cu only.
#pragma once

#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/products/cuda/product_kernel.h"

namespace switchyard::cuda {

/// band: most tiles of rows that stand side by side. columns: of W's storage, of a tile.
template <Epilogue kEpilogue>
ProductKernel product_kernel_of(const Product& p, int64_t columns, int64_t most_in_band) {
  // All columns of the activations are written, for the zeros that end them.
  const int64_t w_rows = kEpilogue == Epilogue::swiglu ? rounded_up(p.n, Matrix::kRowMultiple) : p.n;
  const int64_t num_tiles = p.tiles.empty() ? (p.entries + p.tile_rows - 1) / p.tile_rows : std::ssize(p.tiles);
  return {.x = p.x,
          .x_stride = p.x_stride,
          .k = static_cast<int>(p.k),
          .padded_k = static_cast<int>(p.padded_k),
          .n = static_cast<int>(p.n),
          .num_tiles = static_cast<int>(num_tiles),
          .num_column_tiles = static_cast<int>((w_rows + columns - 1) / columns),
          .band = static_cast<int>(std::min(most_in_band, std::max<int64_t>(1, num_tiles))),
          .tiles = p.tiles.data(),
          .entries = p.entries,
          .input_row = p.input_row,
          .output_row = p.output_row,
          .y = p.y,
          .y_stride = p.y_stride,
          .targets = p.targets,
          .target_logits = p.target_logits,
          .add = p.epilogue == Epilogue::add,
          .clamped = p.activation.clamped,
          .biased = !p.biases.empty(),
          .whole_tiles = p.layout == Layout::slabs_of_64,
          .alpha = static_cast<float>(p.activation.alpha),
          .limit = static_cast<float>(p.activation.limit),
          .first_group = 0,
          .num_groups = 0,
          .pointers = {}};
}

/// Starts it for all groups, some at a time where there are more than it takes.
inline void launch_product(const Stream& stream, const LaunchShape& shape, void (*function)(ProductKernel),
                           const Product& p, ProductKernel kernel) {
  const size_t at_once = kernel.biased ? kMaxPointers / 2 : kMaxPointers;
  for (size_t first = 0; first < p.weights.size(); first += at_once) {
    const size_t count = std::min(at_once, p.weights.size() - first);
    const void** end = std::ranges::copy(p.weights.subspan(first, count), kernel.pointers).out;
    if (kernel.biased) std::ranges::copy(p.biases.subspan(first, count), end);
    kernel.first_group = static_cast<int>(first);
    kernel.num_groups = static_cast<int>(count);
    launch(stream, shape, function, kernel);
  }
}

}  // namespace switchyard::cuda
