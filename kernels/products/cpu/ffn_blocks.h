// Internal to kernels/: how the experts' products and those of their gradients divide the rows of groups.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "kernels/cpu/vector_math.h"
#include "kernels/listed_rows.h"
#include "kernels/products/cpu/put_row.h"
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

/// A panel's product [block.count, columns] to columns [first, first + columns) of y's rows of the block's entries.
/// first: of a panel, so that a line begins there where a row does.
template <class T>
void put_rows(const float* product, int64_t columns, const FfnBlock& block, int64_t first, GemmOutput output, View y,
              std::span<const int32_t> output_row) {
  const ListedRows rows(y, output_row);
  const int64_t stride = y.row_elements();
  T* out = y.as<T>() + first;
  const bool past_caches = output == GemmOutput::store && goes_past_caches(y);
  for (int64_t i = 0; i < block.count; ++i)
    put_row(product + i * columns, columns, output, past_caches, out + rows[block.first + i] * stride);
  if (past_caches) _mm_sfence();
}

}  // namespace switchyard
