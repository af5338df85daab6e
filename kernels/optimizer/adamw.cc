#include "kernels/optimizer/adamw.h"

#include <atomic>
#include <cmath>

#include "kernels/cpu/vector_math.h"
#include "kernels/row_blocks.h"

namespace switchyard::cpu {
namespace {

F32x8 root_of(F32x8 x) {
  return _mm256_sqrt_ps(x);
}

/// Elements [first, first + count): how many weights are broken.
int64_t update(const float* gradient, const AdamwStep& s, float* w, float* m, float* v, int64_t first, int64_t count) {
  const F32x8 kept = broadcast(1 - s.learning_rate * s.weight_decay),
              rate = broadcast(s.learning_rate / s.first_correction);
  const F32x8 beta1 = broadcast(s.beta1), beta2 = broadcast(s.beta2), rest1 = broadcast(1 - s.beta1),
              rest2 = broadcast(1 - s.beta2);
  const F32x8 scale = broadcast(s.gradient_scale), correction = broadcast(s.second_correction),
              epsilon = broadcast(s.epsilon);
  I32x8 broken = {};
  for_lanes(count, [&](int64_t offset, auto read, auto write) {
    const int64_t i = first + offset;
    const F32x8 g = gradient != nullptr ? read(gradient + i) * scale : broadcast(0);
    const F32x8 m1 = fma(beta1, read(m + i), rest1 * g), v1 = fma(beta2, read(v + i), rest2 * g * g);
    const F32x8 w1 = read(w + i) * kept - rate * m1 / (root_of(v1) / correction + epsilon);
    write(m + i, m1);
    write(v + i, v1);
    write(w + i, w1);
    broken -= (w1 - w1) != broadcast(0);
  });
  int64_t sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += broken[lane];
  return sum;
}

}  // namespace

void adamw(const Stream& stream, ConstView gradient, const AdamwStep& step, View weight, View first_moment,
           View second_moment, View broken) {
  const int64_t elements = weight.elements();
  SWITCHYARD_CHECK((gradient.data == nullptr || gradient.elements() == elements) &&
                       first_moment.elements() == elements && second_moment.elements() == elements &&
                       broken.elements() == 1,
                   "adamw: gradient {}, weight {}, moments {} and {}", gradient.shape.str(), weight.shape.str(),
                   first_moment.shape.str(), second_moment.shape.str());
  const auto* g = gradient.as<float>();
  float *w = weight.as<float>(), *m = first_moment.as<float>(), *v = second_moment.as<float>();
  std::atomic<int64_t> total = 0;
  for_row_blocks(
      stream, elements, [&](int64_t first, int64_t count) { total += update(g, step, w, m, v, first, count); },
      int64_t{1} << 14);
  broken.as<int64_t>()[0] += total;
}

}  // namespace switchyard::cpu
