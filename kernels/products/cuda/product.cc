#include "kernels/products/cuda/product.h"

#include <algorithm>
#include <iterator>

#include "kernels/products/cuda/matrix.h"

namespace switchyard::cuda {
namespace {

constexpr int32_t kBFloat16Rows[] = {16, 32, 64, 128}, kF32Rows[] = {16, 64}, kSlabRows[] = {64, 128, 256};
constexpr int32_t kUnalignedBFloat16Rows[] = {32}, kUnalignedF32Rows[] = {64}, kOneSlabRows[] = {64};
constexpr uintptr_t kAlignment = 16;

bool rows_are_aligned(DType operand, int64_t k) {
  return static_cast<size_t>(k) * size_of(operand) % kAlignment == 0;
}

}  // namespace

std::span<const int32_t> tile_shapes(DType operand, Layout layout, int64_t k) {
  const bool aligned = rows_are_aligned(operand, k);
  if (layout != Layout::rows) {
    if (aligned && layout == Layout::slabs) return kSlabRows;
    return kOneSlabRows;
  }
  if (operand == DType::bf16) {
    if (aligned) return kBFloat16Rows;
    return kUnalignedBFloat16Rows;
  }
  if (aligned) return kF32Rows;
  return kUnalignedF32Rows;
}

namespace {

/// Rows of a group, in the mean, from which a tile of so many is worth it.
int64_t least_mean(Layout layout, int32_t tile_rows) {
  if (layout != Layout::rows) return tile_rows == 256 ? 384 : 44;
  return tile_rows == 128 ? 96 : tile_rows == 64 ? 25 : 11;
}

}  // namespace

// A group with more rows than a tile brings its weights to shared memory twice. While weights bound the time, that is
// dear and empty rows are not, so tiles have some room beyond the mean; in the largest, products bound it, and it must
// be nearly full. Every multiprocessor is to have something to do.
int32_t tile_rows_for(const Matrix& w, int64_t entries, int64_t groups, int64_t n) {
  constexpr int64_t kMostColumns = 128;
  const int64_t enough_blocks = w.layout == Layout::rows ? 256 : 120;  // of which a multiprocessor has one
  const std::span<const int32_t> shapes = tile_shapes(w.operand, w.layout, w.k);
  const int64_t mean = entries / std::max<int64_t>(1, groups);
  for (size_t i = shapes.size() - 1; i > 0; --i) {
    const int64_t tiles = std::max((entries + shapes[i] - 1) / shapes[i], std::min(entries, groups));
    const int64_t blocks = tiles * ((n + kMostColumns - 1) / kMostColumns);
    if (mean >= least_mean(w.layout, shapes[i]) && blocks >= enough_blocks) return shapes[i];
  }
  return shapes[0];
}

void product(const Stream& stream, const Product& p) {
  if (p.entries == 0 || p.weights.empty()) return;
  const std::span<const int32_t> shapes = tile_shapes(p.operand, p.layout, p.x_stride);
  const bool swiglu = p.epilogue == Epilogue::swiglu;
  SWITCHYARD_CHECK(std::find(shapes.begin(), shapes.end(), p.tile_rows) != shapes.end(),
                   "a product of {}, {} columns, in tiles of {} rows", name_of(p.operand), p.x_stride, p.tile_rows);
  SWITCHYARD_CHECK(p.layout == Layout::rows || p.operand == DType::bf16, "a product of {} in slabs",
                   name_of(p.operand));
  SWITCHYARD_CHECK(p.k <= p.padded_k && p.padded_k % Matrix::kColumnMultiple == 0 &&
                       std::max(p.padded_k, p.x_stride) <= 0x7fffffff && p.n <= 0x7fffffff / 2 &&
                       (!p.tiles.empty() || p.weights.size() == 1),
                   "a product of {} of {} columns, {} results, {} groups in {} tiles", p.k, p.padded_k, p.n,
                   p.weights.size(), p.tiles.size());
  SWITCHYARD_CHECK(swiglu ? p.output == p.operand
                          : p.output == DType::f32 || (p.output == DType::bf16 && p.epilogue == Epilogue::store),
                   "a product of {} to {}", name_of(p.operand), name_of(p.output));
  SWITCHYARD_CHECK(p.epilogue != Epilogue::logit_sums || (p.targets != nullptr && p.target_logits != nullptr),
                   "a product that sums up logits of {} rows, without targets", p.entries);
  SWITCHYARD_CHECK(p.biases.empty() || p.biases.size() == p.weights.size(), "a product of {} groups with {} biases",
                   p.weights.size(), p.biases.size());
  const bool aligned = rows_are_aligned(p.operand, p.x_stride);
  SWITCHYARD_CHECK(!aligned || reinterpret_cast<uintptr_t>(p.x) % kAlignment == 0, "a product of rows at {}", p.x);
  if (p.layout != Layout::rows)
    product_bf16_slabs(stream, p, aligned);
  else if (p.operand == DType::bf16)
    product_bf16(stream, p, aligned);
  else
    product_f32(stream, p, aligned);
}

void dense_product(const Stream& stream, ConstView x, const Matrix& w, int32_t tile_rows, Product results) {
  const void* const weights[] = {w.memory.data()};
  results.operand = w.operand, results.layout = w.layout;
  results.x = x.data, results.x_stride = w.k, results.k = w.k;
  results.weights = weights, results.n = w.n, results.padded_k = w.padded_k();
  results.entries = x.rows(), results.tile_rows = tile_rows;
  product(stream, results);
}

}  // namespace switchyard::cuda
