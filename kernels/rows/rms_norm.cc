#include "kernels/rows/rms_norm.h"

#include <cmath>

#include "kernels/cpu/vector_math.h"
#include "kernels/row_blocks.h"

namespace switchyard::cpu {

void rms_norm(const Stream& stream, ConstView x, ConstView weight, float eps, View y) {
  const int64_t rows = x.rows(), dim = x.row_elements();
  SWITCHYARD_CHECK((weight.data == nullptr || weight.elements() == dim) && y.rows() == rows && y.row_elements() == dim,
                   "rms_norm: x {}, weight {}, y {}", x.shape.str(), weight.shape.str(), y.shape.str());
  const auto* in = x.as<float>();
  const auto* w = weight.as<float>();
  with_float_type(y.dtype, "rms_norm", [&](auto element) {
    auto* out = y.as<decltype(element)>();
    for_row_blocks(stream, rows, [&](int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r) {
        const float* row = in + r * dim;
        F32x8 squares = broadcast(0);
        for_lanes(dim, [&](int64_t i, auto read, auto) { squares = fma(read(row + i), read(row + i), squares); });
        const float scale = 1 / std::sqrt(sum_of_lanes(squares) / static_cast<float>(dim) + eps);
        for_lanes(dim, [&](int64_t i, auto read, auto write) {
          write(out + r * dim + i, read(row + i) * broadcast(scale) * (w != nullptr ? read(w + i) : broadcast(1)));
        });
      }
    });
  });
}

}  // namespace switchyard::cpu
