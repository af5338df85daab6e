// Internal to kernels/: how each op divides a thread's scratch block. Known from shapes: its bytes are what the op says
// that it takes.
#pragma once

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

/// attention: one block of query rows (positions × the heads of one key-value head) against one block of keys.
struct AttentionScratch {
  ScratchLayout layout;
  int64_t padded_dim;  ///< value_dim, rounded up to a micro-tile's columns
  int64_t positions;   ///< of a block of queries
  int64_t rows;        ///< positions × group
  size_t q, keys, values, scores, sums, row_max, row_sum;
  AttentionScratch(int64_t group, int64_t head_dim, int64_t value_dim);
};

}  // namespace switchyard
