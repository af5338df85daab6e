#include "kernels/rows/random_fill.h"

#include "base/rng.h"
#include "kernels/row_blocks.h"

namespace switchyard::cpu {

void random_fill(const Stream& stream, uint64_t seed, int64_t first_index, float scale, float offset, View y) {
  constexpr int64_t kElementsPerTask = 1 << 16;
  with_float_type(y.dtype, "random_fill", [&](auto element) {
    auto* out = y.as<decltype(element)>();
    for_row_blocks(
        stream, y.elements(),
        [&](int64_t first, int64_t count) {
          for (int64_t i = first; i < first + count; ++i) {
            const float value = scale * (2 * random_uniform(seed, static_cast<uint64_t>(first_index + i)) - 1) + offset;
            if constexpr (std::is_same_v<decltype(element), float>)
              out[i] = value;
            else
              out[i] = to_bfloat16(value);
          }
        },
        kElementsPerTask);
  });
}

}  // namespace switchyard::cpu
