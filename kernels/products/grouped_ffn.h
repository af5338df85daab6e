// The experts: a grouped GEMM, a gated activation, a second grouped GEMM. A dense MLP or a shared expert is the case of
// one group.
#pragma once

#include <span>

#include "kernels/op.h"
#include "kernels/products/gated_activation.h"
#include "kernels/products/gemm.h"
#include "kernels/products/packed_matrix.h"

namespace switchyard {

struct FfnWeights {
  PackedMatrix gate_up;                           ///< [2f, d]: gate's rows, then up's; packed in RowOrder::gate_up
  PackedMatrix down;                              ///< [d, f]
  OwnedTensor gate_up_bias = {}, down_bias = {};  ///< [2f], gate's, then up's; [d]; f32. Empty: none

  bool lies_on(Device device) const {
    return gate_up.lies_on(device) && down.lies_on(device) && switchyard::lies_on(device, gate_up_bias.view()) &&
           switchyard::lies_on(device, down_bias.view());
  }
};

/// Which rows each group takes and where its results go. In memory of the stream's device.
struct GroupedRows {
  std::span<const int64_t> offsets;     ///< [groups + 1]: group g has entries [offsets[g], offsets[g+1])
  std::span<const int32_t> input_row;   ///< [entries] row of x; empty: entry i takes row i
  std::span<const int32_t> output_row;  ///< [entries] row of y, distinct; empty: entry i goes to row i
};

/// y[output_row[i],:] = down_g(activation(gate_up_g(x[input_row[i],:]))), or += (f32), for every entry i of every group
/// g; gate_up_g and down_g are products, to which the biases are added in f32. Rows are gathered, multiplied in fixed
/// tiles and scattered; the activations between the products are rounded to bf16 when that is the operand. A row's bits
/// depend on that row and its group's weights alone. x: [n, d], dtype the operand; weights: [groups] (empty groups' are
/// not touched, and may be missing), each kind of bias of all groups or of none; y: [m, d] f32, or bf16 (rounded).
/// Where both lists of rows are empty, entries are the rows of x.
using GroupedFfnFn = void(const Stream&, ConstView x, const GroupedRows& rows, std::span<const FfnWeights> weights,
                          const GatedActivation& activation, GemmOutput output, View y);
namespace cpu {
GroupedFfnFn grouped_ffn;
WorkingBytes<GroupedFfnFn> grouped_ffn_bytes;
}  // namespace cpu
namespace cuda {
extern CudaOp<GroupedFfnFn> grouped_ffn;
WorkingBytes<GroupedFfnFn> grouped_ffn_bytes;
}  // namespace cuda
WorkOf<GroupedFfnFn> grouped_ffn_work;  ///< size: rows of a group, groups, d, f
inline constexpr Op<GroupedFfnFn> grouped_ffn{"grouped_ffn",          cpu::grouped_ffn,        &cuda::grouped_ffn,
                                              cpu::grouped_ffn_bytes, cuda::grouped_ffn_bytes, grouped_ffn_work};

/// grouped_ffn() that stores y, with the same bits, for a way back: gate_up[i] = gate_up_g(x[input_row[i],:]) as well,
/// a panel's columns as its product has them (gate's, then up's), which only grouped_ffn_backward reads. gate_up:
/// [entries, 2f] f32
using GroupedFfnTapedFn = void(const Stream&, ConstView x, const GroupedRows& rows, std::span<const FfnWeights> weights,
                               const GatedActivation& activation, View gate_up, View y);
namespace cpu {
GroupedFfnTapedFn grouped_ffn_taped;
WorkingBytes<GroupedFfnTapedFn> grouped_ffn_taped_bytes;
}  // namespace cpu
WorkOf<GroupedFfnTapedFn> grouped_ffn_taped_work;  ///< size: as above
inline constexpr Op<GroupedFfnTapedFn> grouped_ffn_taped{
    "grouped_ffn_taped",   cpu::grouped_ffn_taped, nullptr, cpu::grouped_ffn_taped_bytes, nullptr,
    grouped_ffn_taped_work};

// For the implementations.
/// `products` of [d, f], times two operations, for each entry.
Work work_of_groups(ConstView x, const GroupedRows& rows, std::span<const FfnWeights> weights, double products);
void check_activation(const GatedActivation& activation);
void check_biases(std::span<const FfnWeights> weights);

}  // namespace switchyard
