// The kernel of a product, and its start. Included by product_*.cu only.
#pragma once

#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/products/cuda/matrix.h"
#include "kernels/products/cuda/product_tile.h"

namespace switchyard::cuda {

/// What is added to the sums of the row `r` of W's storage; 0 where that is padding.
template <RowOrder kOrder>
struct Bias {
  const float* values;
  int n;
  __device__ float operator()(int r) const {
    const int64_t from = source_row(kOrder, n, r);
    return from < 0 ? 0 : values[from];
  }
};

// Choices that are not the main loop's are made behind it, and once for all sums: they cost no kernel more.
template <class Shape, bool kAligned, class Accumulator, Epilogue kEpilogue, class Out>
__global__ void __launch_bounds__(kProductThreads, Shape::blocks) product_kernel(ProductKernel p) {
  SharedMemory shared;
  const auto stages = shared.take<typename Shape::Element>(Shape::stages * Shape::stage_elements);
  const Place place = find_place(p, Shape::rows);
  if (place.tile.rows == 0) return;
  Accumulator accumulator;
  run_slabs<Shape, kAligned>(p, place, stages, accumulator);
  constexpr bool kGated = kEpilogue == Epilogue::swiglu;
  constexpr RowOrder kOrder = kGated ? RowOrder::gate_up : RowOrder::plain;
  if (p.biased) accumulator.add(place, Bias<kOrder>{p.bias(place.tile.group), p.n});
  if (kGated && p.clamped)
    accumulator.template finish<kEpilogue, Out>(p, place, ClampedSwiglu{p.alpha, p.limit});
  else
    accumulator.template finish<kEpilogue, Out>(p, place, Swiglu{});
}

template <class Shape, bool kAligned, class Accumulator, Epilogue kEpilogue, class Out>
void launch_product(const Stream& stream, const Product& p) {
  // All columns of the activations are written, for the zeros that end them.
  const int64_t w_rows = kEpilogue == Epilogue::swiglu ? rounded_up(p.n, Matrix::kRowMultiple) : p.n;
  const int64_t num_tiles = p.tiles.empty() ? (p.entries + Shape::rows - 1) / Shape::rows : std::ssize(p.tiles);
  const int64_t num_column_tiles = (w_rows + Shape::columns - 1) / Shape::columns;
  constexpr int64_t kBand = 8;
  const int64_t band = std::min(kBand, std::max<int64_t>(1, num_tiles));
  ProductKernel kernel{.x = p.x,
                       .x_stride = p.x_stride,
                       .k = static_cast<int>(p.k),
                       .padded_k = static_cast<int>(p.padded_k),
                       .n = static_cast<int>(p.n),
                       .num_tiles = static_cast<int>(num_tiles),
                       .num_column_tiles = static_cast<int>(num_column_tiles),
                       .band = static_cast<int>(band),
                       .tiles = p.tiles.data(),
                       .entries = p.entries,
                       .input_row = p.input_row,
                       .output_row = p.output_row,
                       .y = p.y,
                       .y_stride = p.y_stride,
                       .add = p.epilogue == Epilogue::add,
                       .clamped = p.activation.clamped,
                       .biased = !p.biases.empty(),
                       .alpha = static_cast<float>(p.activation.alpha),
                       .limit = static_cast<float>(p.activation.limit),
                       .first_group = 0,
                       .num_groups = 0,
                       .pointers = {}};
  const LaunchShape shape{blocks_for((num_tiles + band - 1) / band * band * num_column_tiles, 1), kProductThreads,
                          SharedLayout().add<typename Shape::Element>(Shape::stages * Shape::stage_elements).bytes()};
  const size_t at_once = kernel.biased ? kMaxPointers / 2 : kMaxPointers;
  for (size_t first = 0; first < p.weights.size(); first += at_once) {
    const size_t count = std::min(at_once, p.weights.size() - first);
    const void** end = std::ranges::copy(p.weights.subspan(first, count), kernel.pointers).out;
    if (kernel.biased) std::ranges::copy(p.biases.subspan(first, count), end);
    kernel.first_group = static_cast<int>(first);
    kernel.num_groups = static_cast<int>(count);
    launch(stream, shape, product_kernel<Shape, kAligned, Accumulator, kEpilogue, Out>, kernel);
  }
}

}  // namespace switchyard::cuda
