// Internal to kernels/: how the experts' products and those of their gradients divide the rows of groups.
#pragma once

#include <bit>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/cpu/vector_math.h"
#include "kernels/listed_rows.h"
#include "kernels/products/grouped_ffn.h"

namespace switchyard {

/// Entries [first, first + count) of one group: at most FfnScratch::kRows.
struct FfnBlock {
  size_t group;
  int64_t first, count;
};

/// Refuses lists that do not name rows of x and y for all entries of so many groups.
void check_rows(std::string_view op, const GroupedRows& rows, size_t num_groups, ConstView x, ConstView y);

/// All entries of all groups, in blocks of a size that keeps the threads busy. Refuses weights of groups with entries
/// that do not take and give rows of dim elements of the operand's type.
std::vector<FfnBlock> ffn_blocks(std::string_view op, std::span<const int64_t> offsets,
                                 std::span<const FfnWeights> weights, int64_t dim, DType operand, int num_threads);

/// A bias's values; null: none.
inline const float* values_of(const OwnedTensor& bias) {
  return static_cast<const float*>(bias.view().data);
}

/// The bias to the first `columns` of each row, which lie `stride` apart.
inline void add_bias(const float* bias, int64_t columns, float* product, int64_t rows, int64_t stride) {
  for (int64_t r = 0; r < rows; ++r) add_to(product + r * stride, bias, columns);
}

/// To a panel's product [rows, 2 columns]: gate's columns [first, first + columns), then up's.
inline void add_gate_up_bias(const FfnWeights& w, int64_t first, int64_t columns, float* product, int64_t rows) {
  const float* bias = values_of(w.gate_up_bias);
  if (bias == nullptr) return;
  add_bias(bias + first, columns, product, rows, 2 * columns);
  add_bias(bias + w.down.k() + first, columns, product + columns, rows, 2 * columns);
}

/// Where the block's rows follow each other: they themselves, or, of a list, a copy at `to`.
const std::byte* rows_of(const ListedRows& rows, const FfnBlock& block, std::byte* to);

/// y[i] = (or +=) a product's row.
template <class T>
void put_row(const float* product, int64_t columns, GemmOutput output, T* y) {
  if (output == GemmOutput::store) {
    for_lanes(columns, [&](int64_t i, auto read, auto write) { write(y + i, read(product + i)); });
  } else {
    for_lanes(columns, [&](int64_t i, auto read, auto write) { write(y + i, read(y + i) + read(product + i)); });
  }
}

/// A panel's product [block.count, columns] to columns [first, first + columns) of y's rows of the block's entries.
template <class T>
void put_rows(const float* product, int64_t columns, const FfnBlock& block, int64_t first, GemmOutput output, View y,
              std::span<const int32_t> output_row) {
  const ListedRows rows(y, output_row);
  const int64_t stride = y.row_elements();
  T* out = y.as<T>() + first;
  constexpr int64_t kLine = 64 / sizeof(T);
  if (output == GemmOutput::store && y.bytes() > kCachedBytes && std::bit_cast<uintptr_t>(out) % 64 == 0 &&
      stride % kLine == 0 && columns % kLine == 0) {
    for (int64_t i = 0; i < block.count; ++i)
      for (int64_t j = 0; j < columns; j += kLanes)
        store_past_caches(out + rows[block.first + i] * stride + j, load(product + i * columns + j));
    _mm_sfence();
    return;
  }
  for (int64_t i = 0; i < block.count; ++i)
    put_row(product + i * columns, columns, output, out + rows[block.first + i] * stride);
}

}  // namespace switchyard
