#include "kernels/optimizer/pull_to_anchor.h"

#include "kernels/cpu/vector_math.h"
#include "kernels/row_blocks.h"

namespace switchyard::cpu {

void pull_to_anchor(const Stream& stream, ConstView weight, ConstView anchor, ConstView importance, float lambda,
                    bool add, int64_t chunk, View gradient, View sums) {
  const int64_t elements = weight.elements();
  SWITCHYARD_CHECK(
      anchor.elements() == elements && importance.elements() == elements && gradient.elements() == elements &&
          chunk > 0 && sums.elements() == (elements + chunk - 1) / chunk,
      "pull_to_anchor: weight {}, anchor {}, importance {}, gradient {}, {} sums of {}", weight.shape.str(),
      anchor.shape.str(), importance.shape.str(), gradient.shape.str(), sums.elements(), chunk);
  const auto *w = weight.as<float>(), *a = anchor.as<float>(), *f = importance.as<float>();
  auto* g = gradient.as<float>();
  auto* out = sums.as<double>();
  for_row_blocks(
      stream, elements,
      [&](int64_t first, int64_t count) {
        double sum = 0;
        for (int64_t i = first; i < first + count; ++i) {
          const float away = w[i] - a[i], pull = f[i] * away;
          sum += static_cast<double>(pull) * static_cast<double>(away);
          g[i] = add ? g[i] + lambda * pull : lambda * pull;
        }
        out[first / chunk] = sum;
      },
      chunk);
}

}  // namespace switchyard::cpu
