// Random experts for tests of grouped_ffn and its gradient.
#pragma once

#include <ostream>
#include <vector>

#include "kernels/products/grouped_ffn.h"
#include "support/compare.h"
#include "support/device.h"

namespace switchyard::test {

struct FfnCase {
  DType operand, output;
  int64_t d, f;
  std::vector<int64_t> counts;  // entries of each group
  bool biased = false;
  GatedActivation activation = {};
};

inline constexpr GatedActivation kClamped{.clamped = true, .alpha = 1.702, .limit = 7},
    kTight{.clamped = true, .alpha = 1.3, .limit = 0.1};

inline std::ostream& operator<<(std::ostream& os, const FfnCase& c) {
  os << name_of(c.operand) << "_to_" << name_of(c.output) << "_" << c.d << "x" << c.f;
  if (c.biased) os << "_biased";
  if (c.activation.clamped) os << "_clamped" << (c.activation == kTight ? "_tight" : "");
  if (c.counts.size() > 8) return os << "_groups_" << c.counts.size();
  for (const int64_t n : c.counts) os << "_" << n;
  return os;
}

/// As they are in a checkpoint, and packed.
struct Experts {
  std::vector<Tensor> gate_up, down, gate_up_bias, down_bias;
  std::vector<FfnWeights> packed;
};

inline OwnedTensor moved(const Stream& stream, const Tensor& tensor) {
  OwnedTensor there(tensor.view().shape, tensor.dtype(), stream.device);
  copy(stream, tensor.view(), there.view());
  return there;
}

inline Experts make_experts(const Stream& stream, const FfnCase& c) {
  Experts e;
  for (size_t g = 0; g < c.counts.size(); ++g) {
    e.gate_up.push_back(widened(random_tensor({2 * c.f, c.d}, c.operand, 10 + g)));
    e.down.push_back(widened(random_tensor({c.d, c.f}, c.operand, 100 + g)));
    e.gate_up_bias.push_back(random_tensor({2 * c.f}, DType::f32, 1000 + g));
    e.down_bias.push_back(random_tensor({c.d}, DType::f32, 2000 + g));
    e.packed.emplace_back();
    if (c.counts[g] == 0) continue;  // an empty group's weights are not touched, so they need not exist
    e.packed.back().gate_up = PackedMatrix::pack(stream, e.gate_up.back(), c.operand, RowOrder::gate_up);
    e.packed.back().down = PackedMatrix::pack(stream, e.down.back(), c.operand);
    if (!c.biased) continue;
    e.packed.back().gate_up_bias = moved(stream, e.gate_up_bias.back());
    e.packed.back().down_bias = moved(stream, e.down_bias.back());
  }
  synchronize(stream);
  return e;
}

}  // namespace switchyard::test
