#include "kernels/cuda/launch.h"
#include "kernels/cuda/unroll.h"
#include "kernels/cuda/warp.h"
#include "kernels/products/cuda/matrix.h"
#include "kernels/products/cuda/product.h"
#include "kernels/vocabulary/cross_entropy.h"
#include "kernels/vocabulary/cuda/cross_entropy.h"

namespace switchyard::cuda {
namespace {

using RowState = CrossEntropyPlan::RowState;

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int kSegment = CrossEntropyPlan::kSegment, kPerThread = kSegment / kThreads;

/// The largest of some logits; of equal ones the first.
struct Best {
  float value;
  int32_t column;
  __device__ void meet(float other, int32_t other_column) {
    if (!(other > value || (other == value && other_column < column))) return;
    value = other;
    column = other_column;
  }
};

/// values, columns: one element a warp. The block passes a barrier before it may be called again.
__device__ Best block_best(Best best, const SharedArray<float>& values, const SharedArray<int32_t>& columns) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const float value = __shfl_xor_sync(kAllLanes, best.value, offset);
    best.meet(value, __shfl_xor_sync(kAllLanes, best.column, offset));
  }
  if (lane == 0) values[warp] = best.value, columns[warp] = best.column;
  __syncthreads();
  for (int w = 0; w < kWarps; ++w) best.meet(values[w], columns[w]);
  return best;
}

/// Logits of some columns of the vocabulary, from `first` on.
struct Logits {
  const float* values;
  int64_t stride;  ///< from row to row
  int32_t first, columns;
};

/// A block a row: segment after segment joins the row's state; behind the last column stands the result. A thread has
/// the same columns of every segment.
__global__ void __launch_bounds__(kThreads) fold_kernel(Logits logits, int32_t vocab, const int32_t* targets,
                                                        RowState* states, float* logprob, int32_t* argmax) {
  SharedMemory shared;
  const auto partial = shared.take<float>(kWarps), values = shared.take<float>(kWarps);
  const auto columns = shared.take<int32_t>(kWarps);
  const float* row = logits.values + blockIdx.x * logits.stride;
  // A target outside the vocabulary has no logit, and the result shows it.
  RowState state{-INFINITY, 0, NAN, 0};
  if (logits.first > 0) state = states[blockIdx.x];
  for (int begin = 0; begin < logits.columns; begin += kSegment) {
    const int mine = begin + static_cast<int>(threadIdx.x);
    float logit[kPerThread];
    Best best{-INFINITY, logits.first + mine};
    SWITCHYARD_UNROLL
    for (int i = 0; i < kPerThread; ++i)
      logit[i] = mine + i * kThreads < logits.columns ? row[mine + i * kThreads] : -INFINITY;
    SWITCHYARD_UNROLL
    for (int i = 0; i < kPerThread; ++i) best.meet(logit[i], logits.first + mine + i * kThreads);
    best = block_best(best, values, columns);
    float sum = 0;
    SWITCHYARD_UNROLL
    for (int i = 0; i < kPerThread; ++i) {
      // A logit that is not finite makes the sum NaN: 0 · logit does, and is nothing otherwise.
      if (mine + i * kThreads < logits.columns) sum += fmaf(logit[i], 0.0f, expf(logit[i] - best.value));
    }
    sum = block_sum(sum, partial);
    const float max = fmaxf(state.max, best.value);
    state.sum = state.sum * expf(state.max - max) + sum * expf(best.value - max);
    if (best.value > state.max) state.argmax = best.column;
    state.max = max;
  }
  if (threadIdx.x != 0) return;
  const int32_t target = targets[blockIdx.x] - logits.first;
  if (target >= 0 && target < logits.columns) state.target_logit = row[target];
  states[blockIdx.x] = state;
  if (logits.first + logits.columns < vocab) return;
  logprob[blockIdx.x] = static_cast<float>(static_cast<double>(state.target_logit) - static_cast<double>(state.max) -
                                           static_cast<double>(logf(state.sum)));
  argmax[blockIdx.x] = state.argmax;
}

/// logits [rows, stride] = x · Wᵀ for W's rows [first, first + columns): with our own tiles, which give a logit's bits
/// wherever the vocabulary is cut.
void multiply(const Stream& stream, ConstView x, const Matrix& w, const Logits& logits, float* to) {
  const auto offset = static_cast<size_t>(logits.first * w.padded_k()) * size_of(w.operand);
  const void* const weights[] = {w.memory.data() + offset};
  product(stream, {.operand = w.operand,
                   .layout = w.layout,
                   .x = x.data,
                   .x_stride = w.k,
                   .k = w.k,
                   .weights = weights,
                   .n = logits.columns,
                   .padded_k = w.padded_k(),
                   .entries = x.rows(),
                   .tile_rows = tile_rows_for(w, x.rows(), 1, logits.columns),
                   .y = to,
                   .y_stride = logits.stride});
}

}  // namespace

void cross_entropy(const Stream& stream, ConstView x, const PackedMatrix& head, ConstView target, View /*scratch*/,
                   View lse, View logprob, View argmax) {
  const Matrix& w = head.on_cuda();
  const int64_t rows = x.rows(), vocab = w.n;
  SWITCHYARD_CHECK(x.dtype == w.operand && x.row_elements() == w.k && target.elements() == rows &&
                       logprob.elements() == rows && argmax.elements() == rows && w.order == RowOrder::plain,
                   "cross_entropy: x {} {}, head {} [{}, {}], target {}, logprob {}, argmax {}", name_of(x.dtype),
                   x.shape.str(), name_of(w.operand), vocab, w.k, target.shape.str(), logprob.shape.str(),
                   argmax.shape.str());
  SWITCHYARD_CHECK(lse.data == nullptr, "cross_entropy: lse {} is wanted of a CUDA device", lse.shape.str());
  const CrossEntropyPlan plan(rows, vocab);
  SWITCHYARD_CHECK(stream.workspace.size() >= plan.layout.bytes() && vocab <= 0x7fffffff - kSegment,
                   "cross_entropy: a workspace of {} bytes, {} are needed", stream.workspace.size(),
                   plan.layout.bytes());
  auto* states = reinterpret_cast<RowState*>(stream.workspace.data() + plan.states);
  auto* buffer = reinterpret_cast<float*>(stream.workspace.data() + plan.logits);
  const SharedLayout shared = SharedLayout().add<float>(kWarps).add<float>(kWarps).add<int32_t>(kWarps);
  for (int64_t row = 0; row < rows; row += plan.block_rows) {
    const int64_t count = std::min(plan.block_rows, rows - row), columns = plan.columns(count);
    for (int64_t first = 0; first < vocab; first += columns) {
      const Logits logits{buffer, columns, static_cast<int32_t>(first),
                          static_cast<int32_t>(std::min(columns, vocab - first))};
      multiply(stream, x.slice(row, count), w, logits, buffer);
      launch(stream, {blocks_for(count, 1), kThreads, shared.bytes()}, fold_kernel, logits, static_cast<int32_t>(vocab),
             target.as<int32_t>() + row, states, logprob.as<float>() + row, argmax.as<int32_t>() + row);
    }
  }
}

}  // namespace switchyard::cuda
