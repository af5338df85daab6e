#include "kernels/swiglu.h"

#include "kernels/row_blocks.h"
#include "kernels/vector_math.h"

namespace switchyard::cpu {

void swiglu(const Stream& stream, ConstView h, View y) {
  const int64_t rows = y.rows(), f = y.row_elements();
  SWITCHYARD_CHECK(h.rows() == rows && h.row_elements() == 2 * f, "swiglu: h {}, y {}", h.shape.str(), y.shape.str());
  const auto* in = h.as<float>();
  with_float_type(y.dtype, "swiglu", [&](auto element) {
    auto* out = y.as<decltype(element)>();
    for_row_blocks(stream, rows, [&](int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r) {
        const float* gate = in + r * 2 * f;
        const float* up = gate + f;
        for_lanes(f, [&](int64_t i, auto read, auto write) {
          write(out + r * f + i, swiglu_of(read(gate + i), read(up + i)));
        });
      }
    });
  });
}

}  // namespace switchyard::cpu
