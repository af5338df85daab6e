#include "kernels/attention/rope.h"

#include <cmath>

#include "base/device.h"
#include "kernels/attention/cpu/turn.h"
#include "kernels/row_blocks.h"

namespace switchyard {
namespace {

template <Turn kTurn>
void turn_all(const Stream& stream, ConstView positions, ConstView cos_sin, RotaryPairs pairs, int64_t first, View x) {
  check_rope(positions, cos_sin, first, x);
  const int64_t heads = x.shape[1], head_dim = x.shape[2];
  const RotaryTable<kTurn> table(cos_sin, pairs);
  const auto* position = positions.as<int32_t>();
  auto* data = x.as<float>();
  for_row_blocks(stream, x.rows(), [&](int64_t first_token, int64_t count) {
    for (int64_t t = first_token; t < first_token + count; ++t) {
      table.check(position[t], t);
      for (int64_t h = 0; h < heads; ++h) table.turn(position[t], data + (t * heads + h) * head_dim + first);
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

void fill_rope_table(const Stream& stream, std::span<const double> frequencies, double factor, View cos_sin) {
  const auto half = std::ssize(frequencies);
  SWITCHYARD_CHECK(cos_sin.row_elements() == 2 * half, "rope: {} frequencies for a table {}", half,
                   cos_sin.shape.str());
  OwnedTensor made;
  if (cos_sin.device != Device::cpu) made = OwnedTensor(cos_sin.shape, DType::f32);
  auto* row = cos_sin.device != Device::cpu ? made.view().as<float>() : cos_sin.as<float>();
  for (int64_t p = 0; p < cos_sin.rows(); ++p, row += 2 * half) {
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(p) * frequencies[static_cast<size_t>(i)];
      row[i] = static_cast<float>(factor * std::cos(angle));
      row[half + i] = static_cast<float>(factor * std::sin(angle));
    }
  }
  if (cos_sin.device == Device::cpu) return;
  copy(stream, made.view(), cos_sin);
  synchronize(stream);
}

namespace cpu {

void rope(const Stream& stream, ConstView positions, ConstView cos_sin, RotaryPairs pairs, int64_t first, View x) {
  turn_all<Turn::forth>(stream, positions, cos_sin, pairs, first, x);
}

void rope_backward(const Stream& stream, ConstView positions, ConstView cos_sin, RotaryPairs pairs, int64_t first,
                   View dx) {
  turn_all<Turn::back>(stream, positions, cos_sin, pairs, first, dx);
}

}  // namespace cpu
}  // namespace switchyard
