#include "kernels/rows/add_bias.h"

#include "kernels/cpu/vector_math.h"
#include "kernels/row_blocks.h"

namespace switchyard::cpu {

void add_bias(const Stream& stream, ConstView bias, View y) {
  const int64_t dim = y.row_elements();
  SWITCHYARD_CHECK(bias.elements() == dim, "add_bias: bias {}, y {}", bias.shape.str(), y.shape.str());
  const auto* b = bias.as<float>();
  auto* out = y.as<float>();
  for_row_blocks(stream, y.rows(), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) add_to(out + r * dim, b, dim);
  });
}

}  // namespace switchyard::cpu
