#pragma once

#include <span>

#include "kernels/products/grouped_ffn.h"

namespace switchyard {

/// The gradients of Σ_i ⟨d_out[i], weight[i] · down_g(h[i])⟩, h[i] = activation(gate_up_g(x[i])), over the entries i of
/// all groups g, x[i] and d_out[i] being their rows input_row[i], and dx[i] its row output_row[i]; h is computed again,
/// from gate_up where that is given, else from x. With a = down_gᵀ d_out[i] and dh = weight[i] · a:
///   scaled_h[i]  = weight[i] · h, the activation before it is rounded
///   d_gate_up[i] = (dh · ∂h/∂gate, dh · ∂h/∂up): up · σ(gate) (1 + gate (1 − σ(gate))) and gate · σ(gate) of the plain
///                  activation; of the clamped one see clamped_swiglu_and_derivatives
///   dx[i]        = (or +=, f32 alone) gate_up_gᵀ d_gate_up[i], of its rounded values
///   dweight[i]   = Σ_j h_j a_j + ⟨down's bias, d_out[i]⟩, the activation before it is rounded
/// The weights' own gradients are weight_gradient(d_gate_up, x) and weight_gradient(d_out, scaled_h), the biases' those
/// of d_gate_up with ones and of d_out with the weights. A row's bits
/// depend on that row and its group's weights alone.
/// x, d_out: [n, d], dtype the operand; weight: [entries] f32, or empty: ones; weights: [groups] (empty groups' are not
/// touched, and may be missing), each kind of bias of all groups or of none; transposed: [groups], of their matrices
/// the transposes, gate_up's [d, 2f] (gate's columns, then up's) in RowOrder::plain, down's [f, d]; scaled_h: [entries,
/// f], d_gate_up: [entries, 2f], dtype the operand; dx: [m, d] f32, or the operand; dweight: [entries] f32, or empty:
/// not wanted; gate_up: as grouped_ffn_taped left it (the same bits), or empty.
using GroupedFfnBackwardFn = void(const Stream&, ConstView x, ConstView d_out, ConstView weight,
                                  const GroupedRows& rows, std::span<const FfnWeights> weights,
                                  std::span<const FfnWeights> transposed, const GatedActivation& activation,
                                  GemmOutput output, View scaled_h, View d_gate_up, View dx, View dweight,
                                  ConstView gate_up);
namespace cpu {
GroupedFfnBackwardFn grouped_ffn_backward;
WorkingBytes<GroupedFfnBackwardFn> grouped_ffn_backward_bytes;
}  // namespace cpu
WorkOf<GroupedFfnBackwardFn> grouped_ffn_backward_work;  ///< size: as grouped_ffn_work
inline constexpr Op<GroupedFfnBackwardFn> grouped_ffn_backward{
    "grouped_ffn_backward",   cpu::grouped_ffn_backward, nullptr, cpu::grouped_ffn_backward_bytes, nullptr,
    grouped_ffn_backward_work};

}  // namespace switchyard
