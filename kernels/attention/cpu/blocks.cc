#include "kernels/attention/cpu/blocks.h"

#include <algorithm>

#include "kernels/cpu/vector_math.h"
#include "kernels/products/cpu/multiply_tile.h"

namespace switchyard {

void pack_transposed(const float* from, int64_t stride, int64_t count, int64_t dim, float* to) {
  for (int64_t j = 0; j < round_up(count, kTileColumns); j += kLanes) {
    const float* rows = from + j * stride;
    float* columns = to + round_down(j, kTileColumns) * dim + j % kTileColumns;
    const int64_t there = std::clamp<int64_t>(count - j, 0, kLanes);
    int64_t d = 0;
    for (; there == kLanes && d + kLanes <= dim; d += kLanes)
      transpose_8x8(rows + d, stride, columns + d * kTileColumns, kTileColumns);
    for (; d < dim; ++d)
      for (int64_t i = 0; i < kLanes; ++i) columns[d * kTileColumns + i] = i < there ? rows[i * stride + d] : 0;
  }
}

void pack_panels(const float* from, int64_t stride, int64_t count, int64_t dim, float* to, int64_t panel_rows) {
  for (int64_t j = 0; j < count; ++j) {
    const float* row = from + j * stride;
    float* panel = to + j * kTileColumns;
    int64_t rest = dim;
    for (; rest >= kTileColumns; rest -= kTileColumns, row += kTileColumns, panel += panel_rows * kTileColumns) {
      store(panel, load(row));
      store(panel + kLanes, load(row + kLanes));
    }
    if (rest > 0) std::fill(std::copy_n(row, rest, panel), panel + kTileColumns, 0.0f);
  }
}

std::span<const int64_t> checked_offsets(ConstView record_offsets, int64_t tokens) {
  const auto offsets = record_offsets.span<int64_t>();
  SWITCHYARD_CHECK(!offsets.empty() && offsets.front() == 0 && offsets.back() == tokens &&
                       std::is_sorted(offsets.begin(), offsets.end()),
                   "attention: the offsets of {} records do not cover {} tokens in order", offsets.size() - 1, tokens);
  return offsets;
}

}  // namespace switchyard
