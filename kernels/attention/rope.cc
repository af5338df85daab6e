#include "kernels/attention/rope.h"

#include <cmath>

#include "kernels/cpu/vector_math.h"
#include "kernels/row_blocks.h"

namespace switchyard {
namespace {

/// Back: by the angle's negative, which is the transpose of the turn.
enum class Turn { forth, back };

template <Turn kTurn>
void turn_halves(const float* cosine, const float* sine, int64_t half, float* a) {
  float* b = a + half;
  for_lanes(half, [&](int64_t i, auto read, auto write) {
    const F32x8 ai = read(a + i), bi = read(b + i), c = read(cosine + i);
    const F32x8 s = kTurn == Turn::forth ? read(sine + i) : -read(sine + i);
    write(a + i, fma(ai, c, -(bi * s)));
    write(b + i, fma(bi, c, ai * s));
  });
}

// The same operations one by one; the compiler makes vectors of them.
template <Turn kTurn>
void turn_adjacent(const float* cosine, const float* sine, int64_t half, float* x) {
  for (int64_t i = 0; i < half; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1], c = cosine[i], s = kTurn == Turn::forth ? sine[i] : -sine[i];
    x[2 * i] = std::fma(a, c, -(b * s));
    x[2 * i + 1] = std::fma(b, c, a * s);
  }
}

template <Turn kTurn>
void turn_all(const Stream& stream, ConstView positions, ConstView cos_sin, RotaryPairs pairs, int64_t first, View x) {
  check_rope(positions, cos_sin, first, x);
  const int64_t heads = x.shape[1], head_dim = x.shape[2], rotated = cos_sin.row_elements(), half = rotated / 2;
  const auto turn = pairs == RotaryPairs::halves ? turn_halves<kTurn> : turn_adjacent<kTurn>;
  const auto* position = positions.as<int32_t>();
  const auto* table = cos_sin.as<float>();
  auto* data = x.as<float>();
  for_row_blocks(stream, x.rows(), [&](int64_t first_token, int64_t count) {
    for (int64_t t = first_token; t < first_token + count; ++t) {
      SWITCHYARD_CHECK(position[t] >= 0 && position[t] < cos_sin.rows(), "rope: position {} of token {}, table of {}",
                       position[t], t, cos_sin.rows());
      const float* cosine = table + position[t] * rotated;
      for (int64_t h = 0; h < heads; ++h) turn(cosine, cosine + half, half, data + (t * heads + h) * head_dim + first);
    }
  });
}

}  // namespace

void check_rope(ConstView positions, ConstView cos_sin, int64_t first, ConstView x) {
  const int64_t rotated = cos_sin.row_elements();
  SWITCHYARD_CHECK(x.shape.rank() == 3 && rotated % 2 == 0 && first >= 0 && first + rotated <= x.shape[2] &&
                       positions.elements() == x.rows(),
                   "rope: x {} from {} on, cos_sin {}, positions {}", x.shape.str(), first, cos_sin.shape.str(),
                   positions.shape.str());
}

namespace cpu {

void fill_rope_table(const Stream&, std::span<const double> frequencies, double factor, View cos_sin) {
  const auto half = std::ssize(frequencies);
  SWITCHYARD_CHECK(cos_sin.row_elements() == 2 * half, "rope: {} frequencies for a table {}", half,
                   cos_sin.shape.str());
  auto* row = cos_sin.as<float>();
  for (int64_t p = 0; p < cos_sin.rows(); ++p, row += 2 * half) {
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(p) * frequencies[static_cast<size_t>(i)];
      row[i] = static_cast<float>(factor * std::cos(angle));
      row[half + i] = static_cast<float>(factor * std::sin(angle));
    }
  }
}

void rope(const Stream& stream, ConstView positions, ConstView cos_sin, RotaryPairs pairs, int64_t first, View x) {
  turn_all<Turn::forth>(stream, positions, cos_sin, pairs, first, x);
}

void rope_backward(const Stream& stream, ConstView positions, ConstView cos_sin, RotaryPairs pairs, int64_t first,
                   View dx) {
  turn_all<Turn::back>(stream, positions, cos_sin, pairs, first, dx);
}

}  // namespace cpu
}  // namespace switchyard
