#include "kernels/rows/rms_norm.h"

#include "kernels/cpu/past_caches.h"
#include "kernels/row_blocks.h"
#include "kernels/rows/cpu/norm_row.h"

namespace switchyard {

void check_rms_norm(ConstView x, ConstView weight, ConstView y, ConstView rounded) {
  const int64_t rows = x.rows(), dim = x.row_elements();
  SWITCHYARD_CHECK(
      (weight.data == nullptr || weight.elements() == dim) && y.rows() == rows && y.row_elements() == dim &&
          (rounded.data == nullptr ||
           (rounded.elements() == y.elements() && y.dtype == DType::f32 && (rows == 0 || y.data != x.data))),
      "rms_norm: x {}, weight {}, y {}, rounded {}", x.shape.str(), weight.shape.str(), y.shape.str(),
      rounded.shape.str());
}

namespace cpu {
namespace {

void norm_rows(const Stream& stream, ConstView x, ConstView weight, float eps, View y, View rounded) {
  check_rms_norm(x, weight, y, rounded);
  const int64_t rows = x.rows(), dim = x.row_elements();
  const auto* in = x.as<float>();
  const auto* w = weight.as<float>();
  auto* second = rounded.data != nullptr ? rounded.as<BFloat16>() : nullptr;
  const bool past_caches = y.data != x.data && goes_past_caches(y, second != nullptr ? rounded.bytes() : 0) &&
                           (second == nullptr || in_whole_lines(rounded));
  with_float_type(y.dtype, "rms_norm", [&](auto element) {
    auto* out = y.as<decltype(element)>();
    for_row_blocks(stream, rows, [&](int64_t first, int64_t count) {
      for (int64_t i = first * dim; i < (first + count) * dim; i += dim) {
        const NormLane<decltype(element)> lane{in + i, w, broadcast(inverse_rms_of(in + i, dim, eps)), out + i,
                                               second != nullptr ? second + i : nullptr};
        if (past_caches)
          for_lanes_past_caches(dim, lane);
        else
          for_lanes(dim, lane);
      }
      if (past_caches) _mm_sfence();
    });
  });
}

}  // namespace

void rms_norm(const Stream& stream, ConstView x, ConstView weight, float eps, View y) {
  norm_rows(stream, x, weight, eps, y, {});
}

void rms_norm_rounded(const Stream& stream, ConstView x, ConstView weight, float eps, View y, View rounded) {
  norm_rows(stream, x, weight, eps, y, rounded);
}

}  // namespace cpu
}  // namespace switchyard
