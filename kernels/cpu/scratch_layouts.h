// Internal to kernels/: how each op divides a thread's scratch block. Known from shapes: its bytes are what the op says
// that it takes.
#pragma once

#include "base/slice_tree.h"
#include "kernels/products/cpu/packed_matrix_impl.h"
#include "kernels/scratch.h"

namespace switchyard {

/// gemm, cross_entropy: one panel's product of up to kRows rows.
struct PanelScratch {
  static constexpr int64_t kRows = 128;
  ScratchLayout layout;
  size_t out, widened, workspace;
  explicit PanelScratch(const MatrixPanels& w);
};

/// grouped_ffn: a block of up to kRows rows through both products.
struct FfnScratch {
  static constexpr int64_t kBlockRows = 256, kRemainder = 64;  ///< of a group, what the last block takes along
  static constexpr int64_t kRows = kBlockRows + kRemainder;
  ScratchLayout layout;
  size_t x;        ///< [kRows, d], the operand's type
  size_t product;  ///< one panel's, [kRows + kMaxPaddingRows, columns] f32
  size_t act;      ///< [kRows, f], the operand's type
  size_t widened, workspace;
  FfnScratch(const MatrixPanels& gate_up, const MatrixPanels& down);
};

/// weight_gradient: a block of a group's result, and its operands for up to kRows rows.
struct WeightGradientScratch {
  static constexpr int64_t kRows = 256, kTilesDown = 22, kTilesAcross = 8;
  ScratchLayout layout;
  size_t a, b;   ///< [tiles down, kRows, kOuterRows], [tiles across, kRows, kOuterColumns] f32
  size_t stack;  ///< that of one tile, or of each where a group may have more than kRows
  size_t strip;  ///< [kOuterRows, tiles across · kOuterColumns] f32 of the result
  WeightGradientScratch(int64_t rows, int64_t n, int64_t k, const SliceRange& slices);
};

/// grouped_ffn_backward: a block of up to FfnScratch::kRows rows; one panel's product at a time, and one more.
struct FfnBackwardScratch {
  ScratchLayout layout;
  size_t x, d_out;  ///< [FfnScratch::kRows, d], the operand's type
  size_t product;   ///< gate_up's or its transpose's, [FfnScratch::kRows + kMaxPaddingRows, columns] f32
  size_t a;         ///< down's transpose's, likewise
  size_t widened, workspace;
  FfnBackwardScratch(const MatrixPanels& gate_up, const MatrixPanels& down_t, const MatrixPanels& gate_up_t);
};

/// attention: one block of query rows (positions × the heads of one key-value head) against one block of keys.
struct AttentionScratch {
  ScratchLayout layout;
  int64_t padded_dim;  ///< value_dim, rounded up to a micro-tile's columns
  int64_t positions;   ///< of a block of queries
  int64_t rows;        ///< positions × group
  size_t q, keys, values, scores, sums, row_max, row_sum;
  AttentionScratch(int64_t group, int64_t head_dim, int64_t value_dim);
};

/// attention_backward: one block of query rows against one block of keys.
struct AttentionBackwardScratch {
  static constexpr int64_t kKeys = 288, kMostRows = 72;  ///< of a block: whole micro-tiles, of any CPU's size
  ScratchLayout layout;
  int64_t padded_head_dim, padded_value_dim;  ///< rounded up to a micro-tile's columns
  int64_t positions;                          ///< of a block of queries
  int64_t rows;                               ///< positions × group
  size_t q, d_out, lse, delta;                ///< of the block's rows
  size_t q_panels, d_out_panels;              ///< the same in panels
  size_t keys, values, key_panels;            ///< transposed, transposed, and in panels
  size_t p, ds;                               ///< [rows, kKeys]
  size_t dq;                                  ///< of a micro-tile's rows
  size_t dk, dv;                              ///< of the block's keys
  AttentionBackwardScratch(int64_t group, int64_t head_dim, int64_t value_dim);
};

}  // namespace switchyard
