#include "kernels/cuda/rows.h"
#include "kernels/row_blocks.h"
#include "kernels/vocabulary/embedding.h"

namespace switchyard::cuda {
namespace {

template <class T, bool kWhole>
__global__ void embedding_kernel(const int32_t* ids, const T* table, RowSplit split, int64_t tokens, int64_t dim,
                                 float* y) {
  const RowShare share = row_share(split);
  if (share.row >= tokens) return;
  const T* row = table + ids[share.row] * dim;
  float* out = y + share.row * dim;
  for (int64_t i = share.first * kQuad; i < dim; i += share.step * kQuad)
    store_quad<kWhole>(out + i, load_quad<kWhole>(row + i, dim - i), dim - i);
}

}  // namespace

static void run_embedding(const Stream& stream, ConstView ids, ConstView table, View y) {
  const int64_t tokens = ids.rows(), dim = table.row_elements();
  SWITCHYARD_CHECK(y.rows() == tokens && y.row_elements() == dim, "embedding: table {}, {} ids, y {}",
                   table.shape.str(), tokens, y.shape.str());
  const RowSplit split = RowSplit::of(quads_of(dim));
  with_float_type(table.dtype, "embedding", [&](auto element) {
    with_bool(whole_quads(dim, {table, y}), [&](auto whole) {
      using T = decltype(element);
      launch(stream, split.shape(tokens), embedding_kernel<T, decltype(whole)::value>, ids.as<int32_t>(), table.as<T>(),
             split, tokens, dim, y.as<float>());
    });
  });
}
CudaOp<EmbeddingFn> embedding = run_embedding;

}  // namespace switchyard::cuda
