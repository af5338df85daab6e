#include "kernels/rows/scale_rows.h"

#include "kernels/cpu/vector_math.h"
#include "kernels/row_blocks.h"

namespace switchyard {

void check_scale_rows(ConstView x, ConstView row, ConstView factor, ConstView y) {
  const int64_t listed = row.data != nullptr ? row.elements() : factor.elements();
  SWITCHYARD_CHECK(y.shape == x.shape && (row.data != nullptr ? listed == x.rows() : listed >= x.rows()),
                   "scale_rows: x {}, row {}, factor {}, y {}", x.shape.str(), row.shape.str(), factor.shape.str(),
                   y.shape.str());
}

void cpu::scale_rows(const Stream& stream, ConstView x, ConstView row, ConstView factor, View y) {
  check_scale_rows(x, row, factor, y);
  const int64_t dim = x.row_elements(), num_factors = factor.elements();
  const auto *in = x.as<float>(), *factors = factor.as<float>();
  const int32_t* list = row.data != nullptr ? row.as<int32_t>() : nullptr;
  with_float_type(y.dtype, "scale_rows", [&](auto element) {
    auto* out = y.as<decltype(element)>();
    for_row_blocks(stream, x.rows(), [&](int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r) {
        const int64_t from = list != nullptr ? list[r] : r;
        SWITCHYARD_CHECK(from >= 0 && from < num_factors, "scale_rows: row {}: factor {} of {}", r, from, num_factors);
        for_lanes(dim, [&](int64_t i, auto read, auto write) {
          write(out + r * dim + i, read(in + r * dim + i) * factors[from]);
        });
      }
    });
  });
}

void cpu::scale_rows_backward(const Stream& stream, ConstView x, ConstView dy, View d_factor) {
  SWITCHYARD_CHECK(dy.shape == x.shape && d_factor.elements() == x.rows(),
                   "scale_rows_backward: x {}, dy {}, d_factor {}", x.shape.str(), dy.shape.str(),
                   d_factor.shape.str());
  const int64_t dim = x.row_elements();
  const auto* in = x.as<float>();
  auto* out = d_factor.as<float>();
  with_float_type(dy.dtype, "scale_rows_backward", [&](auto element) {
    const auto* d = dy.as<decltype(element)>();
    for_row_blocks(stream, x.rows(), [&](int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r) {
        F32x8 lanes = broadcast(0);
        for_lanes(dim, [&](int64_t i, auto read, auto) {
          lanes = fma(read(in + r * dim + i), read(d + r * dim + i), lanes);
        });
        out[r] = sum_of_lanes(lanes);
      }
    });
  });
}

}  // namespace switchyard
