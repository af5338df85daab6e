#include "kernels/attention/attention.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/row_blocks.h"

namespace switchyard {

void cpu::attention_sinks_backward(const Stream& stream, ConstView sinks, ConstView out, ConstView lse, ConstView d_out,
                                   View d_sinks) {
  const int64_t heads = sinks.elements();
  SWITCHYARD_CHECK(out.shape.rank() == 3 && out.shape[1] == heads && d_out.shape == out.shape &&
                       lse.shape == Shape({out.rows(), heads}) && d_sinks.shape == lse.shape,
                   "attention_sinks_backward: sinks {}, out {}, lse {}, d_out {}, d_sinks {}", sinks.shape.str(),
                   out.shape.str(), lse.shape.str(), d_out.shape.str(), d_sinks.shape.str());
  const auto *sink = sinks.as<float>(), *results = out.as<float>(), *sums = lse.as<float>(), *d = d_out.as<float>();
  auto* to = d_sinks.as<float>();
  const int64_t dim = out.shape[2];
  for_row_blocks(stream, out.rows(), [&](int64_t first, int64_t count) {
    for (int64_t t = first; t < first + count; ++t)
      for_lanes(heads, [&](int64_t h, auto read, auto write) {
        F32x8 delta = broadcast(0);
        for (int64_t i = t * heads + h; i < t * heads + std::min(h + kLanes, heads); ++i)
          delta[i - t * heads - h] = dot(d + i * dim, results + i * dim, dim);
        write(to + t * heads + h, -exp(read(sink + h) - read(sums + t * heads + h)) * delta);
      });
  });
}

}  // namespace switchyard
