#pragma once

#include "kernels/attention/rope.h"
#include "kernels/op.h"

namespace switchyard {

/// Per-head RMSNorm of queries and keys: with weights before they are turned, or without any after that.
enum class QkNorm : uint8_t { none, before_rotary, after_rotary };

/// What becomes of each head's vector between its product and attention, in this order: a norm, rotary embedding, a
/// norm, factors. Views without rows: nothing of that kind.
struct HeadSteps {
  QkNorm norm = QkNorm::none;
  ConstView norm_weight = {};  ///< [head_dim] f32, or empty: ones
  float eps = 0;
  ConstView cos_sin = {};  ///< as rope has it, with the three below
  RotaryPairs pairs = RotaryPairs::halves;
  int64_t first = 0;
  ConstView factors = {};  ///< [max_position] f32, by position
  float factor = 1;        ///< behind that

  bool turn() const { return cos_sin.rows() > 0; }
  bool none() const { return norm == QkNorm::none && !turn() && factors.rows() == 0 && factor == 1; }
  bool lies_on(Device device) const {
    return switchyard::lies_on(device, norm_weight) && switchyard::lies_on(device, cos_sin) &&
           switchyard::lies_on(device, factors);
  }
};

/// All of that in one pass, with the bits that rms_norm, rope and scale_rows have one after the other.
///   x: [tokens, heads, head_dim] f32; positions: [tokens] i32, each within the tables (a device does not check it)
///   y: the shape of x, f32 (may be x itself); on a CUDA device, whose head_dim is at most 256, also bf16
using PrepareHeadsFn = void(const Stream&, ConstView x, ConstView positions, const HeadSteps& steps, View y);
namespace cpu {
PrepareHeadsFn prepare_heads;
}
namespace cuda {
extern CudaOp<PrepareHeadsFn> prepare_heads;
}
inline constexpr Op<PrepareHeadsFn> prepare_heads{"prepare_heads", cpu::prepare_heads, &cuda::prepare_heads};

/// Fails (internal) where the shapes do not go together.
void check_prepare_heads(ConstView x, ConstView positions, const HeadSteps& steps, ConstView y);

}  // namespace switchyard
