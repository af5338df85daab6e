#pragma once

#include <numbers>

#include "kernels/attention/key_span.h"
#include "kernels/op.h"

namespace switchyard {

/// Causal grouped-query attention within each record, softmax(scale · q kᵀ) v, blocked with an online softmax: never
/// more than a tile of scores exists, and blocks of keys that no query of a tile sees cost nothing. Query head h uses
/// key-value head h / (heads / kv_heads). A row's bits depend on its record alone; a span that leaves out no key gives
/// those of Kind::all.
///   q: [tokens, heads, head_dim], k: [tokens, kv_heads, head_dim], v: [tokens, kv_heads, value_dim], all of
///      attention_operand's dtype; queries in bf16 come multiplied by attention_factor(scale)
///   record_offsets: [records + 1] i64, from 0 to tokens, non-decreasing (checked on the CPU only)
///   sinks: [heads] f32, a logit of each query head that joins the softmax's denominator and nothing else (gpt-oss);
///          no data: none
///   lse: [tokens, heads] f32, the logarithm of each softmax's denominator, Σ e^score, its sink included; no data: not
///        wanted (a CUDA device does not compute it)
///   out: [tokens, heads, value_dim] f32|bf16
/// Arithmetic in f32. Where q, k and v are bf16, the probabilities are rounded too, and sums are f32. On a CUDA device
/// head_dim and value_dim are at most 256.
using AttentionFn = void(const Stream&, ConstView q, ConstView k, ConstView v, ConstView record_offsets,
                         const KeySpan& span, ConstView sinks, float scale, View lse, View out);
namespace cpu {
AttentionFn attention;
WorkingBytes<AttentionFn> attention_bytes;
}  // namespace cpu
namespace cuda {
extern CudaOp<AttentionFn> attention;
WorkingBytes<AttentionFn> attention_bytes;  ///< no fewer for more records either
}  // namespace cuda
/// size: keys that a query sees on average, head_dim + value_dim, query heads of a key-value head, queries of all
/// heads. On a CUDA device records count as equally long.
WorkOf<AttentionFn> attention_work;
inline constexpr Op<AttentionFn> attention{"attention",          cpu::attention,        &cuda::attention,
                                           cpu::attention_bytes, cuda::attention_bytes, attention_work};

/// Its gradients, from P = e^(scale · q kᵀ − lse), never more than a tile of which exists (Dao et al. 2022, appendix
/// B):
///   dS = P ⊙ (d_out vᵀ − δ), δ the sum of d_out ⊙ out over a query's vector;   dq = scale · dS k,
///   dk = scale · dSᵀ q, dv = Pᵀ d_out, each summed over the heads of the group
///   q, k, v, record_offsets, span, sinks, scale: as forward; out, lse: what it gave, f32
///   d_out: [tokens, heads, value_dim] f32
///   dq, dk, dv: of the shapes of q, k and v, f32, written whole
/// An element of dq is one chain of fused multiply-adds over keys in order, of dk and dv over queries, by position,
/// then head. A record's bits depend on it alone; no element is −0.
using AttentionBackwardFn = void(const Stream&, ConstView q, ConstView k, ConstView v, ConstView record_offsets,
                                 const KeySpan& span, ConstView sinks, float scale, ConstView out, ConstView lse,
                                 ConstView d_out, View dq, View dk, View dv);
namespace cpu {
AttentionBackwardFn attention_backward;
WorkingBytes<AttentionBackwardFn> attention_backward_bytes;
}  // namespace cpu
WorkOf<AttentionBackwardFn> attention_backward_work;  ///< size: as attention_work
inline constexpr Op<AttentionBackwardFn> attention_backward{
    "attention_backward",   cpu::attention_backward, nullptr, cpu::attention_backward_bytes, nullptr,
    attention_backward_work};

/// d_sinks[t,h] = −e^(sinks[h] − lse[t,h]) · δ, δ as above: what a query adds to the gradient of its head's sink.
/// Arguments as above; d_sinks: [tokens, heads] f32
using AttentionSinksBackwardFn = void(const Stream&, ConstView sinks, ConstView out, ConstView lse, ConstView d_out,
                                      View d_sinks);
namespace cpu {
AttentionSinksBackwardFn attention_sinks_backward;
}
inline constexpr Op<AttentionSinksBackwardFn> attention_sinks_backward{"attention_sinks_backward",
                                                                       cpu::attention_sinks_backward, nullptr};

/// What q, k and v of a result's dtype come in.
inline DType attention_operand(Device device, DType out) {
  return device == Device::cuda ? out : DType::f32;
}

/// scale · log₂e: what queries are multiplied by where scores are exponents of two.
inline float attention_factor(float scale) {
  return static_cast<float>(static_cast<double>(scale) * std::numbers::log2e);
}

/// Fails (internal) where shapes and dtypes do not go together.
void check_attention(ConstView q, ConstView k, ConstView v, const KeySpan& span, ConstView sinks, ConstView lse,
                     ConstView out);

}  // namespace switchyard
