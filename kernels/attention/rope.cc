#include "kernels/attention/rope.h"

#include <cmath>

#include "kernels/cpu/vector_math.h"
#include "kernels/row_blocks.h"

namespace switchyard::cpu {

void fill_rope_table(const Stream&, double theta, View cos_sin) {
  const int64_t num_positions = cos_sin.rows(), head_dim = cos_sin.row_elements(), half = head_dim / 2;
  SWITCHYARD_CHECK(head_dim % 2 == 0, "rope: a head of {} elements, expected an even number", head_dim);
  auto* table = cos_sin.as<float>();
  for (int64_t p = 0; p < num_positions; ++p) {
    for (int64_t i = 0; i < half; ++i) {
      const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(head_dim);
      const double angle = static_cast<double>(p) * std::pow(theta, exponent);
      table[p * head_dim + i] = static_cast<float>(std::cos(angle));
      table[p * head_dim + half + i] = static_cast<float>(std::sin(angle));
    }
  }
}

void rope(const Stream& stream, ConstView positions, ConstView cos_sin, View x) {
  const int64_t tokens = x.rows(), heads = x.shape[1], head_dim = x.shape[2], half = head_dim / 2;
  SWITCHYARD_CHECK(
      x.shape.rank() == 3 && cos_sin.row_elements() == head_dim && head_dim % 2 == 0 && positions.elements() == tokens,
      "rope: x {}, cos_sin {}, positions {}", x.shape.str(), cos_sin.shape.str(), positions.shape.str());
  const auto* position = positions.as<int32_t>();
  const auto* table = cos_sin.as<float>();
  auto* data = x.as<float>();
  for_row_blocks(stream, tokens, [&](int64_t first, int64_t count) {
    for (int64_t t = first; t < first + count; ++t) {
      SWITCHYARD_CHECK(position[t] >= 0 && position[t] < cos_sin.rows(), "rope: position {} of token {}, table of {}",
                       position[t], t, cos_sin.rows());
      const float* cosine = table + position[t] * head_dim;
      const float* sine = cosine + half;
      for (int64_t h = 0; h < heads; ++h) {
        float* a = data + (t * heads + h) * head_dim;
        float* b = a + half;
        for_lanes(half, [&](int64_t i, auto read, auto write) {
          const F32x8 ai = read(a + i), bi = read(b + i), c = read(cosine + i), s = read(sine + i);
          write(a + i, fma(ai, c, -(bi * s)));
          write(b + i, fma(bi, c, ai * s));
        });
      }
    }
  });
}

}  // namespace switchyard::cpu
