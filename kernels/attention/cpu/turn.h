// Rotary embedding of one vector. Internal to kernels/attention.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/attention/rope.h"
#include "kernels/cpu/vector_math.h"

namespace switchyard {

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

/// The turn of some dimensions by what a table has for a position.
template <Turn kTurn>
class RotaryTable {
 public:
  RotaryTable(ConstView cos_sin, RotaryPairs pairs)
      : rows_(cos_sin.rows()),
        half_(cos_sin.row_elements() / 2),
        table_(cos_sin.as<float>()),
        turn_(pairs == RotaryPairs::halves ? turn_halves<kTurn> : turn_adjacent<kTurn>) {}
  void check(int32_t position, int64_t token) const {
    SWITCHYARD_CHECK(position >= 0 && position < rows_, "rope: position {} of token {}, table of {}", position, token,
                     rows_);
  }
  void turn(int32_t position, float* first) const {
    const float* cosine = table_ + position * (2 * half_);
    turn_(cosine, cosine + half_, half_, first);
  }

 private:
  int64_t rows_, half_;
  const float* table_;
  void (*turn_)(const float*, const float*, int64_t, float*);
};

}  // namespace switchyard
