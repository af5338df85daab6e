// Our own products with fixed tiles: rows of x, each with its group's weights. What the grouped FFN is made of, and the
// dense product where cuBLASLt is not to be used.
#pragma once

#include <cstdint>
#include <span>

#include "base/stream.h"
#include "kernels/products/cuda/matrix.h"
#include "kernels/products/cuda/tile_table.h"
#include "kernels/products/gated_activation.h"

namespace switchyard::cuda {

/// store: y = product;  add: y += product (f32 output);  swiglu: y = activation(gate, up), of weights in
/// RowOrder::gate_up;  logit_sums: y = a LogitSum for every logit_sum_columns() columns, and no product is stored.
enum class Epilogue : uint8_t { store, add, swiglu, logit_sums };

/// Of some of a row's logits: their maximum, Σ e^(logit − maximum), and the first column where the maximum is. The sum
/// is NaN if any of them is not finite.
struct alignas(16) LogitSum {
  float max, sum;
  int32_t column;
};

/// Columns that one of them is of; the last one's may be fewer.
constexpr int64_t logit_sum_columns(DType operand) {
  return operand == DType::bf16 ? 64 : 32;
}

/// y[output_row[i], j] = Σ_k x[input_row[i], k] W_g[j, k] + bias_g[j] for each entry i of group g.
///
/// Every sum runs over k in ascending order, in steps of 16 on tensor cores (mma.m16n8k16, of slabs wgmma.m64nNk16) and
/// one by one in f32, from zero: an element's bits depend on neither the tile that computes it nor the other rows.
struct Product {
  DType operand = DType::bf16;
  Layout layout = Layout::rows;  ///< of the weights
  const void* x = nullptr;
  int64_t x_stride = 0;  ///< elements from row to row
  int64_t k = 0;         ///< columns of x that are there; those up to padded_k count as zero

  std::span<const void* const> weights = {};  ///< a group each: [n rounded up to 128, padded_k], as in cuda::Matrix
  std::span<const float* const> biases = {};  ///< a group each: [n], in W's order, on the device; empty: none
  int64_t n = 0, padded_k = 0;

  int64_t entries = 0;
  int32_t tile_rows = 0;             ///< one of tile_shapes(operand, layout, k)
  std::span<const Tile> tiles = {};  ///< on the device; empty: one group, entries in order
  const int32_t* input_row = nullptr;
  const int32_t* output_row = nullptr;  ///< null: entry i itself

  Epilogue epilogue = Epilogue::store;
  GatedActivation activation = {};  ///< of swiglu
  DType output = DType::f32;        ///< f32, bf16 (store) or the operand (swiglu); not used by logit_sums
  void* y = nullptr;     ///< [rows, y_stride]; of logit_sums LogitSum [sums, y_stride]: a row's stand below each other
  int64_t y_stride = 0;  ///< swiglu writes n / 2 columns rounded up to 64, the others n; logit_sums all of y's rows
  const int32_t* targets = nullptr;  ///< of logit_sums: a column of each of y's rows,
  float* target_logits = nullptr;    ///< whose logit comes here; a column that is not there: it stays as it is
};

void product(const Stream& stream, const Product& p);

/// x Wᵀ of one matrix and all rows of x, in tiles of `tile_rows` rows. results: the epilogue and where it writes; what
/// is multiplied is filled in here.
void dense_product(const Stream& stream, ConstView x, const Matrix& w, int32_t tile_rows, Product results);

/// Its parts. aligned: whether rows of x begin at multiples of 16 bytes.
void product_bf16(const Stream& stream, const Product& p, bool aligned);
void product_bf16_slabs(const Stream& stream, const Product& p, bool aligned);
void product_f32(const Stream& stream, const Product& p, bool aligned);

/// The numbers of rows that a tile may have, ascending. k: columns of x, which lie at odd addresses for some.
std::span<const int32_t> tile_shapes(DType operand, Layout layout, int64_t k);
/// The one to take with weights like these, where `groups` groups have together `entries` entries, for results of n
/// columns.
int32_t tile_rows_for(const Matrix& w, int64_t entries, int64_t groups, int64_t n);

}  // namespace switchyard::cuda
