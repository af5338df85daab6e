#include "kernels/rows/cast.h"

#include "kernels/cpu/vector_math.h"
#include "kernels/row_blocks.h"

namespace switchyard::cpu {

void cast(const Stream& stream, ConstView x, View y) {
  SWITCHYARD_CHECK(x.shape == y.shape, "cast: x {}, y {}", x.shape.str(), y.shape.str());
  constexpr int64_t kElementsPerTask = 1 << 16;
  with_float_type(x.dtype, "cast", [&](auto from) {
    with_float_type(y.dtype, "cast", [&](auto to) {
      const auto* source = x.as<decltype(from)>();
      auto* target = y.as<decltype(to)>();
      for_row_blocks(
          stream, x.elements(),
          [&](int64_t first, int64_t count) {
            for_lanes(count,
                      [&](int64_t i, auto read, auto write) { write(target + first + i, read(source + first + i)); });
          },
          kElementsPerTask);
    });
  });
}

}  // namespace switchyard::cpu
