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

}  // namespace switchyard
