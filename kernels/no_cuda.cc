// The ops of a program without the CUDA half.
#include "base/error.h"
#include "kernels/attention/attention.h"
#include "kernels/attention/prepare_heads.h"
#include "kernels/products/cuda/matrix.h"
#include "kernels/products/gemm.h"
#include "kernels/products/grouped_ffn.h"
#include "kernels/routing/group_by_expert.h"
#include "kernels/routing/permute.h"
#include "kernels/routing/router.h"
#include "kernels/rows/add_bias.h"
#include "kernels/rows/cast.h"
#include "kernels/rows/copy_columns.h"
#include "kernels/rows/random_fill.h"
#include "kernels/rows/rms_norm.h"
#include "kernels/rows/scale_rows.h"
#include "kernels/vocabulary/cross_entropy.h"
#include "kernels/vocabulary/embedding.h"

namespace switchyard::cuda {

CudaOp<AttentionFn> attention = nullptr;
CudaOp<PrepareHeadsFn> prepare_heads = nullptr;
CudaOp<GemmFn> gemm = nullptr;
CudaOp<GroupedFfnFn> grouped_ffn = nullptr;
CudaOp<GroupByExpertFn> group_by_expert = nullptr;
CudaOp<GatherRowsFn> gather_rows = nullptr;
CudaOp<ScatterRowsFn> scatter_rows = nullptr;
CudaOp<CombineFn> combine = nullptr;
CudaOp<RouterTopKFn> router_top_k = nullptr;
CudaOp<AddBiasFn> add_bias = nullptr;
CudaOp<CastFn> cast = nullptr;
CudaOp<CopyColumnsFn> copy_columns = nullptr;
CudaOp<RandomFillFn> random_fill = nullptr;
CudaOp<RmsNormFn> rms_norm = nullptr;
CudaOp<RmsNormRoundedFn> rms_norm_rounded = nullptr;
CudaOp<ScaleRowsFn> scale_rows = nullptr;
CudaOp<CrossEntropyFn> cross_entropy = nullptr;
CudaOp<EmbeddingFn> embedding = nullptr;

std::string cublas_version() {
  return {};
}
std::string dense_algorithm(int, int64_t, int64_t, DType) {
  return {};
}

Layout layout_for(const Stream&, DType) {
  return Layout::rows;
}
std::shared_ptr<const Matrix> pack_matrix(const Stream&, ConstView, DType, RowOrder, Layout) {
  fail(ExitCode::environment, "weights cannot be packed for a GPU: this build has no CUDA");
}

}  // namespace switchyard::cuda
