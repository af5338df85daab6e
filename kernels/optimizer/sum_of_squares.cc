#include "kernels/optimizer/sum_of_squares.h"

#include <algorithm>

#include "kernels/cpu/vector_math.h"
#include "kernels/row_blocks.h"

namespace switchyard::cpu {
namespace {

using F64x4 = double __attribute__((vector_size(32)));
using F32x4 = float __attribute__((vector_size(16)));

F64x4 load_f64(const float* p) {
  F32x4 v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, F64x4);
}

/// Element i is added to lane i mod 16.
double sum_of(const float* x, int64_t count) {
  F64x4 lanes[4] = {};
  int64_t i = 0;
  for (; i + 16 <= count; i += 16)
    for (int j = 0; j < 4; ++j) {
      const F64x4 v = load_f64(x + i + 4 * j);
      lanes[j] += v * v;
    }
  for (; i < count; ++i) lanes[i % 16 / 4][i % 4] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const F64x4 four = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
  return (four[0] + four[1]) + (four[2] + four[3]);
}

}  // namespace

void sum_of_squares(const Stream& stream, ConstView x, int64_t chunk, View sums) {
  const int64_t elements = x.elements();
  SWITCHYARD_CHECK(chunk > 0 && sums.elements() == (elements + chunk - 1) / chunk,
                   "sum_of_squares: x {}, {} sums of {}", x.shape.str(), sums.elements(), chunk);
  const auto* in = x.as<float>();
  auto* out = sums.as<double>();
  for_row_blocks(
      stream, elements, [&](int64_t first, int64_t count) { out[first / chunk] = sum_of(in + first, count); }, chunk);
}

}  // namespace switchyard::cpu
