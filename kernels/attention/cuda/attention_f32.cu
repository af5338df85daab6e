// Attention in f32, the parity mode: the same blocks without tensor cores, every sum one chain of fused multiply-adds.
#include "kernels/attention/cuda/attention_tile.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/unroll.h"
#include "kernels/cuda/warp.h"

namespace switchyard::cuda {
namespace {

constexpr int kRows = 64, kKeys = 64;
constexpr int kSide = 16, kThreads = kSide * kSide;  // a thread has 4 × 4 scores: rows 4y + i, keys x + 16j
constexpr int kScoreStride = kKeys + 4;

/// Of a vector of `dim` elements in shared memory: eight rows' quads lie in different banks.
constexpr int stride_of(int dim) {
  return dim + 4;
}

template <int kDim, int kValueDim>
SharedLayout shared_layout() {
  static_assert(kValueDim <= kDim, "a block has room for keys, and then for values");
  constexpr int kStride = stride_of(kDim);
  SharedLayout layout;
  layout.add<float>(kRows * kStride), layout.add<float>(kKeys * kStride), layout.add<float>(kRows * kScoreStride);
  return layout;
}

__device__ float element_of(const float4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

/// Elements d … d + 3 of a vector; zeros beyond its end.
__device__ inline float4 load_four(const float* vector, int d, int dim, bool by_pieces) {
  if (by_pieces && d < dim) return *reinterpret_cast<const float4*>(vector + d);
  const auto at = [&](int i) { return i < dim ? vector[i] : 0.0f; };
  return make_float4(at(d), at(d + 1), at(d + 2), at(d + 3));
}

/// The queries, scaled so that scores are exponents of two; zeros for rows that are not there.
template <int kDim>
__device__ void load_queries(const AttentionProblem& problem, const QueryTile& tile, const SharedArray<float>& q) {
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kDim / 4; i += kThreads) {
    const int row = i / (kDim / 4), d = i % (kDim / 4) * 4;
    const int64_t vector = tile.vector(row);
    const int dim = problem.size.head_dim;
    float4 x = make_float4(0, 0, 0, 0);
    if (vector >= 0) x = load_four(static_cast<const float*>(problem.q) + vector * dim, d, dim, problem.by_pieces);
    const float f = problem.factor;
    q.store(row * stride_of(kDim) + d, make_float4(x.x * f, x.y * f, x.z * f, x.w * f));
  }
}

/// Vectors [first, first + kKeys) of a tile's keys or values, k or v, of `dim` elements; zeros from its last on.
template <int kDim>
__device__ void load_block(const AttentionProblem& problem, const QueryTile& tile, const void* vectors, int dim,
                           int first, const SharedArray<float>& to) {
  const int64_t stride = static_cast<int64_t>(problem.kv_heads) * dim;
  const float* record =
      static_cast<const float*>(vectors) + (tile.record_begin() * problem.kv_heads + tile.kv_head()) * dim;
  const int num_keys = tile.num_keys();
  for (int i = static_cast<int>(threadIdx.x); i < kKeys * kDim / 4; i += kThreads) {
    const int key = i / (kDim / 4), d = i % (kDim / 4) * 4;
    float4 x = make_float4(0, 0, 0, 0);
    if (first + key < num_keys) x = load_four(record + (first + key) * stride, d, dim, problem.by_pieces);
    to.store(key * stride_of(kDim) + d, x);
  }
}

template <int kDim, int kValueDim>
class ThreadRows {
  static constexpr int kStride = stride_of(kDim), kValueStride = stride_of(kValueDim);
  static constexpr int kColumns = kValueDim / kSide;  // columns 4x + 64c + (0 … 3)

 public:
  __device__ explicit ThreadRows(const QueryTile& tile)
      : tile_(tile), x_(static_cast<int>(threadIdx.x) % kSide), y_(static_cast<int>(threadIdx.x) / kSide) {
    SWITCHYARD_UNROLL
    for (int i = 0; i < 4; ++i) {
      top_[i] = tile.first_top(4 * y_ + i), total_[i] = x_ == 0 ? tile.first_total() : 0;
      SWITCHYARD_UNROLL
      for (int c = 0; c < kColumns; ++c) sums_[i][c] = 0;
    }
  }

  /// scores = q · keysᵀ, −∞ where a row does not see the key.
  __device__ void multiply_keys(const SharedArray<float>& q, const SharedArray<float>& keys, int first_key, int dim) {
    SWITCHYARD_UNROLL
    for (int i = 0; i < 4; ++i) {
      SWITCHYARD_UNROLL
      for (int j = 0; j < 4; ++j) scores_[i][j] = 0;
    }
    for (int d = 0; d < dim; d += 4) {
      float4 a[4], b[4];
      SWITCHYARD_UNROLL
      for (int i = 0; i < 4; ++i) a[i] = q.template load<float4>((4 * y_ + i) * kStride + d);
      SWITCHYARD_UNROLL
      for (int j = 0; j < 4; ++j) b[j] = keys.template load<float4>((x_ + kSide * j) * kStride + d);
      SWITCHYARD_UNROLL
      for (int i = 0; i < 4; ++i) {
        SWITCHYARD_UNROLL
        for (int j = 0; j < 4; ++j) {
          SWITCHYARD_UNROLL
          for (int e = 0; e < 4; ++e) scores_[i][j] = fmaf(element_of(a[i], e), element_of(b[j], e), scores_[i][j]);
        }
      }
    }
    SWITCHYARD_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int from = tile_.first_key_of(4 * y_ + i) - first_key, to = tile_.keys_seen_by(4 * y_ + i) - first_key;
      SWITCHYARD_UNROLL
      for (int j = 0; j < 4; ++j)
        if (x_ + kSide * j < from || x_ + kSide * j >= to) scores_[i][j] = -INFINITY;
    }
  }

  /// The online softmax: scores become 2^(score − top); with a new top the sums so far shrink.
  __device__ void exponentiate(const SharedArray<float>& scores) {
    SWITCHYARD_UNROLL
    for (int i = 0; i < 4; ++i) {
      float top = top_[i], total = 0;
      SWITCHYARD_UNROLL
      for (int j = 0; j < 4; ++j) top = fmaxf(top, scores_[i][j]);
      SWITCHYARD_UNROLL
      for (int offset = kSide / 2; offset > 0; offset /= 2) top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, offset));
      SWITCHYARD_UNROLL
      for (int j = 0; j < 4; ++j) {
        const float p = exp2f(scores_[i][j] - top);
        scores[(4 * y_ + i) * kScoreStride + x_ + kSide * j] = p;
        total += p;
      }
      const float shrink = exp2f(top_[i] - top);
      top_[i] = top;
      total_[i] = fmaf(total_[i], shrink, total);
      SWITCHYARD_UNROLL
      for (int c = 0; c < kColumns; ++c) sums_[i][c] *= shrink;
    }
  }

  /// sums += probabilities · values
  __device__ void add_values(const SharedArray<float>& scores, const SharedArray<float>& values) {
    for (int key = 0; key < kKeys; key += 4) {
      float4 p[4];
      SWITCHYARD_UNROLL
      for (int i = 0; i < 4; ++i) p[i] = scores.template load<float4>((4 * y_ + i) * kScoreStride + key);
      SWITCHYARD_UNROLL
      for (int j = 0; j < 4; ++j) {
        SWITCHYARD_UNROLL
        for (int c = 0; c < kColumns; c += 4) {
          const float4 v = values.template load<float4>((key + j) * kValueStride + 4 * x_ + kSide * c);
          SWITCHYARD_UNROLL
          for (int i = 0; i < 4; ++i) {
            SWITCHYARD_UNROLL
            for (int e = 0; e < 4; ++e) sums_[i][c + e] = fmaf(element_of(p[i], j), element_of(v, e), sums_[i][c + e]);
          }
        }
      }
    }
  }

  __device__ void store(int dim, bool by_pieces, float* out) const {
    SWITCHYARD_UNROLL
    for (int i = 0; i < 4; ++i) {
      float total = total_[i];
      SWITCHYARD_UNROLL
      for (int offset = kSide / 2; offset > 0; offset /= 2) total += __shfl_xor_sync(kAllLanes, total, offset);
      const float inverse = 1 / total;
      const int64_t vector = tile_.vector(4 * y_ + i);
      if (vector < 0) continue;
      SWITCHYARD_UNROLL
      for (int c = 0; c < kColumns; c += 4) {
        const int d = 4 * x_ + kSide * c;
        float* to = out + vector * dim + d;
        const float* sum = sums_[i] + c;
        if (by_pieces) {
          const float4 y = make_float4(sum[0] * inverse, sum[1] * inverse, sum[2] * inverse, sum[3] * inverse);
          if (d < dim) *reinterpret_cast<float4*>(to) = y;
          continue;
        }
        SWITCHYARD_UNROLL
        for (int e = 0; e < 4; ++e)
          if (d + e < dim) to[e] = sum[e] * inverse;
      }
    }
  }

 private:
  const QueryTile& tile_;
  const int x_, y_;
  float scores_[4][4], sums_[4][kColumns];
  float top_[4], total_[4];  // total: this thread's columns
};

template <int kDim, int kValueDim>
__global__ void __launch_bounds__(kThreads) attention_kernel(AttentionProblem problem, float* out) {
  SharedMemory shared;
  const auto q = shared.take<float>(kRows * stride_of(kDim));
  const auto block = shared.take<float>(kKeys * stride_of(kDim));  // keys, then values
  const auto scores = shared.take<float>(kRows * kScoreStride);
  const QueryTile tile(problem, blockIdx.x);
  if (tile.empty()) return;

  load_queries<kDim>(problem, tile, q);
  ThreadRows<kDim, kValueDim> rows(tile);
  for (int first = tile.first_key(kKeys); first < tile.num_keys(); first += kKeys) {
    load_block<kDim>(problem, tile, problem.k, problem.size.head_dim, first, block);
    __syncthreads();
    rows.multiply_keys(q, block, first, problem.size.head_dim);
    rows.exponentiate(scores);
    __syncthreads();
    load_block<kValueDim>(problem, tile, problem.v, problem.size.value_dim, first, block);
    __syncthreads();
    rows.add_values(scores, block);
    __syncthreads();
  }
  rows.store(problem.size.value_dim, problem.by_pieces, out);
}

template <int kDim, int kValueDim>
void launch_kernel(const Stream& stream, const AttentionPlan& plan, const AttentionProblem& problem, float* out) {
  static_assert(kRows == attention_tile_rows({kDim, kValueDim}, DType::f32));
  const int64_t blocks = plan.num_tiles * problem.kv_heads * problem.parts;
  launch(stream, {blocks_for(blocks, 1), kThreads, shared_layout<kDim, kValueDim>().bytes()},
         attention_kernel<kDim, kValueDim>, problem, out);
}

}  // namespace

void attention_f32(const Stream& stream, const AttentionPlan& plan, const AttentionProblem& problem, float* out) {
  switch (plan.padded.head_dim) {
    case 64:
      return launch_kernel<64, 64>(stream, plan, problem, out);
    case 128:
      return launch_kernel<128, 128>(stream, plan, problem, out);
    case 192:
      return launch_kernel<192, 128>(stream, plan, problem, out);
    default:
      return launch_kernel<256, 256>(stream, plan, problem, out);
  }
}

}  // namespace switchyard::cuda
