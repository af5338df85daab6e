#include "kernels/rows/rms_norm.h"

#include "kernels/cpu/past_caches.h"
#include "kernels/row_blocks.h"
#include "kernels/rows/cpu/inverse_rms.h"

namespace switchyard::cpu {

void rms_norm(const Stream& stream, ConstView x, ConstView weight, float eps, View y) {
  const int64_t rows = x.rows(), dim = x.row_elements();
  SWITCHYARD_CHECK((weight.data == nullptr || weight.elements() == dim) && y.rows() == rows && y.row_elements() == dim,
                   "rms_norm: x {}, weight {}, y {}", x.shape.str(), weight.shape.str(), y.shape.str());
  const auto* in = x.as<float>();
  const auto* w = weight.as<float>();
  with_float_type(y.dtype, "rms_norm", [&](auto element) {
    auto* out = y.as<decltype(element)>();
    const bool past_caches = y.data != x.data && goes_past_caches(y);
    for_row_blocks(stream, rows, [&](int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r) {
        const float* row = in + r * dim;
        const F32x8 scale = broadcast(inverse_rms_of(row, dim, eps));
        const auto normalise = [&](int64_t i, auto read, auto write) {
          write(out + r * dim + i, read(row + i) * scale * (w != nullptr ? read(w + i) : broadcast(1)));
        };
        if (past_caches)
          for_lanes_past_caches(dim, normalise);
        else
          for_lanes(dim, normalise);
      }
      if (past_caches) _mm_sfence();
    });
  });
}

}  // namespace switchyard::cpu
