// Internal to kernels/: how the experts' products and those of their gradients divide the rows of groups.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "kernels/cpu/vector_math.h"
#include "kernels/products/grouped_ffn.h"

namespace switchyard {

/// Entries [first, first + count) of one group: at most FfnScratch::kRows.
struct FfnBlock {
  size_t group;
  int64_t first, count;
};

/// All entries of all groups, in blocks of a size that keeps the threads busy. Refuses weights of groups with entries
/// that do not take and give rows of dim elements of the operand's type.
std::vector<FfnBlock> ffn_blocks(std::string_view op, std::span<const int64_t> offsets,
                                 std::span<const FfnWeights> weights, int64_t dim, DType operand, int num_threads);

/// y[i] = (or +=) a product's row.
template <class T>
void put_row(const float* product, int64_t columns, GemmOutput output, T* y) {
  if (output == GemmOutput::store) {
    for_lanes(columns, [&](int64_t i, auto read, auto write) { write(y + i, read(product + i)); });
  } else {
    for_lanes(columns, [&](int64_t i, auto read, auto write) { write(y + i, read(y + i) + read(product + i)); });
  }
}

}  // namespace switchyard
