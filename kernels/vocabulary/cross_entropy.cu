#include "kernels/cuda/launch.h"
#include "kernels/cuda/unroll.h"
#include "kernels/products/cuda/logit_sums.h"
#include "kernels/products/cuda/matrix.h"
#include "kernels/products/cuda/product.h"
#include "kernels/vocabulary/cross_entropy.h"
#include "kernels/vocabulary/cuda/cross_entropy.h"

namespace switchyard::cuda {
namespace {

constexpr int kWarps = 32, kThreads = kWarps * kWarp, kRowsOfBlock = kWarp;
constexpr int kAtOnce = 4;  // sums of a thread that are read together

struct Fold {
  const LogitSum* sums;  ///< [count, rows]
  int count, rows;
  const float* target_logits;
  const int32_t* targets;
  int32_t vocab;
  float* logprob;
  int32_t* argmax;
};

/// 32 rows a block. A lane has a row, and of its sums a warp every 32nd; then a warp has a row, whose 32 parts its
/// lanes join.
__global__ void __launch_bounds__(kThreads) fold_kernel(Fold fold) {
  SharedMemory shared;
  const auto parts = shared.take<LogitSum>(kRowsOfBlock * kWarps);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int first_row = static_cast<int>(blockIdx.x) * kRowsOfBlock;
  LogitSum sum = no_logits();
  if (first_row + lane < fold.rows) {
    const LogitSum* const of_row = fold.sums + first_row + lane;
    for (int first = warp; first < fold.count; first += kWarps * kAtOnce) {
      LogitSum next[kAtOnce];
      SWITCHYARD_UNROLL
      for (int i = 0; i < kAtOnce; ++i)
        next[i] = first + i * kWarps < fold.count ? of_row[int64_t{first + i * kWarps} * fold.rows] : no_logits();
      SWITCHYARD_UNROLL
      for (int i = 0; i < kAtOnce; ++i) sum = join<float>(sum, next[i]);
    }
  }
  parts.store(lane * kWarps + warp, sum);
  __syncthreads();
  sum = parts.load<LogitSum>(warp * kWarps + lane);
  for (int lane_mask = 1; lane_mask < kWarp; lane_mask *= 2) sum = join<float>(sum, of_other_lane(sum, lane_mask));
  const int row = first_row + warp;
  if (lane != 0 || row >= fold.rows) return;
  // A target outside the vocabulary has no logit, and the result shows it.
  const int32_t target = fold.targets[row];
  const float logit = target >= 0 && target < fold.vocab ? fold.target_logits[row] : NAN;
  fold.logprob[row] = static_cast<float>(static_cast<double>(logit) - static_cast<double>(sum.max) -
                                         static_cast<double>(logf(sum.sum)));
  fold.argmax[row] = sum.column;
}

}  // namespace

static void run_cross_entropy(const Stream& stream, ConstView x, const PackedMatrix& head, ConstView target,
                              View /*scratch*/, View lse, View logprob, View argmax) {
  const Matrix& w = head.on_cuda();
  const int64_t rows = x.rows(), vocab = w.n;
  SWITCHYARD_CHECK(x.dtype == w.operand && x.row_elements() == w.k && target.elements() == rows &&
                       logprob.elements() == rows && argmax.elements() == rows && w.order == RowOrder::plain,
                   "cross_entropy: x {} {}, head {} [{}, {}], target {}, logprob {}, argmax {}", name_of(x.dtype),
                   x.shape.str(), name_of(w.operand), vocab, w.k, target.shape.str(), logprob.shape.str(),
                   argmax.shape.str());
  SWITCHYARD_CHECK(lse.data == nullptr, "cross_entropy: lse {} is wanted of a CUDA device", lse.shape.str());
  const CrossEntropyPlan plan(rows, vocab, w.operand);
  SWITCHYARD_CHECK(stream.workspace.size() >= plan.layout.bytes(),
                   "cross_entropy: a workspace of {} bytes, {} are needed", stream.workspace.size(),
                   plan.layout.bytes());
  auto* sums = reinterpret_cast<LogitSum*>(stream.workspace.data() + plan.sums);
  auto* target_logits = reinterpret_cast<float*>(stream.workspace.data() + plan.target_logits);
  for (int64_t row = 0; row < rows; row += plan.block_rows) {
    const int64_t count = std::min(plan.block_rows, rows - row);
    const auto* targets = target.as<int32_t>() + row;
    // Our own tiles, which give a logit's bits wherever the rows are cut.
    dense_product(stream, x.slice(row, count), w, tile_rows_for(w, count, 1, vocab),
                  {.epilogue = Epilogue::logit_sums,
                   .y = sums,
                   .y_stride = count,
                   .targets = targets,
                   .target_logits = target_logits});
    launch(stream,
           {blocks_for(count, kRowsOfBlock), kThreads, SharedLayout().add<LogitSum>(kRowsOfBlock * kWarps).bytes()},
           fold_kernel,
           Fold{sums, static_cast<int>(plan.sums_of_row), static_cast<int>(count), target_logits, targets,
                static_cast<int32_t>(vocab), logprob.as<float>() + row, argmax.as<int32_t>() + row});
  }
}
CudaOp<CrossEntropyFn> cross_entropy = run_cross_entropy;

}  // namespace switchyard::cuda
