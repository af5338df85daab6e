#include "kernels/routing/permute.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/vector_math.h"
#include "kernels/row_blocks.h"

namespace switchyard {

void check_combine(ConstView y, ConstView weight, ConstView base, ConstView out) {
  const bool shaped = y.shape.rank() == 3 && y.rows() == out.rows() && y.shape[2] == out.row_elements();
  SWITCHYARD_CHECK(shaped && (weight.data == nullptr || weight.shape == Shape({y.shape[0], y.shape[1]})) &&
                       (base.data == nullptr || base.shape == out.shape),
                   "combine: y {}, weight {}, base {}, out {}", y.shape.str(), weight.shape.str(), base.shape.str(),
                   out.shape.str());
}

namespace cpu {
namespace {

// target row `to[i]` = source row `from[i]`; a null list stands for i itself. Both are checked: an index beyond its
// view would be a wild write.
void move_rows(const Stream& stream, ConstView source, const int32_t* from, View target, const int32_t* to,
               int64_t count) {
  SWITCHYARD_CHECK(source.dtype == target.dtype && source.row_elements() == target.row_elements(),
                   "rows of {} {} moved to rows of {} {}", name_of(source.dtype), source.shape.str(),
                   name_of(target.dtype), target.shape.str());
  const size_t row_bytes = static_cast<size_t>(source.row_elements()) * size_of(source.dtype);
  const auto* src = static_cast<const std::byte*>(source.data);
  auto* dst = static_cast<std::byte*>(target.data);
  for_row_blocks(stream, count, [&](int64_t first, int64_t rows) {
    for (int64_t i = first; i < first + rows; ++i) {
      const int64_t a = from != nullptr ? from[i] : i, b = to != nullptr ? to[i] : i;
      SWITCHYARD_CHECK(a >= 0 && a < source.rows() && b >= 0 && b < target.rows(), "row {} of {} moved to row {} of {}",
                       a, source.rows(), b, target.rows());
      std::memcpy(dst + static_cast<size_t>(b) * row_bytes, src + static_cast<size_t>(a) * row_bytes, row_bytes);
    }
  });
}

}  // namespace

void gather_rows(const Stream& stream, ConstView x, ConstView row, View y) {
  SWITCHYARD_CHECK(row.elements() == y.rows(), "gather_rows: {} indices, y {}", row.elements(), y.shape.str());
  move_rows(stream, x, row.as<int32_t>(), y, nullptr, row.elements());
}

void scatter_rows(const Stream& stream, ConstView x, ConstView row, View y) {
  SWITCHYARD_CHECK(row.elements() == x.rows(), "scatter_rows: {} indices, x {}", row.elements(), x.shape.str());
  move_rows(stream, x, nullptr, y, row.as<int32_t>(), row.elements());
}

void combine(const Stream& stream, ConstView y, ConstView weight, ConstView base, View out) {
  check_combine(y, weight, base, out);
  const int64_t tokens = out.rows(), dim = out.row_elements(), k = y.shape[1];
  const auto *w = weight.as<float>(), *from = base.as<float>();
  auto* sum = out.as<float>();
  with_float_type(y.dtype, "combine", [&](auto element) {
    const auto* slots = y.as<decltype(element)>();
    for_row_blocks(stream, tokens, [&](int64_t first, int64_t count) {
      for (int64_t t = first; t < first + count; ++t) {
        const int64_t next = std::min(t + 1, tokens - 1);  // its rows are fetched while this token's are added
        for_lanes(dim, [&](int64_t i, auto read, auto write) {
          for (int64_t j = 0; j < k; ++j) __builtin_prefetch(slots + (next * k + j) * dim + i);
          if (from != nullptr) __builtin_prefetch(from + next * dim + i);
          F32x8 mixed = broadcast(0);
          for (int64_t j = 0; j < k; ++j)
            mixed = fma(broadcast(w != nullptr ? w[t * k + j] : 1), read(slots + (t * k + j) * dim + i), mixed);
          write(sum + t * dim + i, (from != nullptr ? read(from + t * dim + i) : broadcast(0)) + mixed);
        });
      }
    });
  });
}

}  // namespace cpu
}  // namespace switchyard
