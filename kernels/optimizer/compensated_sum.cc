#include "kernels/optimizer/compensated_sum.h"

#include "kernels/cpu/vector_math.h"
#include "kernels/row_blocks.h"

namespace switchyard::cpu {

void compensated_sum(const Stream& stream, ConstView x, View sum, View rest) {
  const int64_t elements = x.elements();
  SWITCHYARD_CHECK(sum.elements() == elements && rest.elements() == elements, "compensated_sum: x {}, sum {}, rest {}",
                   x.shape.str(), sum.shape.str(), rest.shape.str());
  const auto* in = x.as<float>();
  auto *to = sum.as<float>(), *lost = rest.as<float>();
  for_row_blocks(
      stream, elements,
      [&](int64_t first, int64_t count) {
        for_lanes(count, [&](int64_t offset, auto read, auto write) {
          const int64_t i = first + offset;
          const F32x8 a = read(to + i), b = read(in + i), s = a + b, of_b = s - a;
          write(lost + i, read(lost + i) + ((a - (s - of_b)) + (b - of_b)));
          write(to + i, s);
        });
      },
      int64_t{1} << 14);
}

}  // namespace switchyard::cpu
