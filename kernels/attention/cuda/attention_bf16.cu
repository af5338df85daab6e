// Attention with tensor cores, after FlashAttention-2 (Dao 2023): a warp has whole rows of the scores in registers,
// where they become the left operand of the second product.
#include "kernels/attention/cuda/attention_tile.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tensor_core.h"
#include "kernels/cuda/unroll.h"
#include "kernels/cuda/warp.h"

namespace switchyard::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarp;
constexpr int kPiece = 8;   // bf16 elements of 16 bytes
constexpr int kStages = 2;  // one block of keys and values is used, the next one is on its way

template <int kDim>
struct Sizes {
  static constexpr int kRows = attention_tile_rows(kDim, DType::bf16);
  static constexpr int kWarpRows = kRows / kWarps, kRowTiles = kWarpRows / 16;
  static constexpr int kKeys = kDim <= 64 ? 64 : 32;  // of a block, counted from the record's start
  static constexpr int kStride = kDim + kPiece;       // of a vector in shared memory: eight rows lie in different banks
  static SharedLayout shared() {
    SharedLayout layout;
    layout.add<BFloat16>(kRows * kStride);
    layout.add<BFloat16>(kStages * 2 * kKeys * kStride);
    return layout;
  }
};

using SharedVectors = SharedArray<BFloat16>;

/// k and v rounded to bf16 and filled up to `padded_dim`: once, instead of in every block that reads them. A head's
/// vectors then follow each other.
__global__ void round_kernel(AttentionProblem problem, int padded_dim) {
  const int pieces = padded_dim / kPiece, dim = problem.head_dim;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, vector = i / pieces;
  const int64_t token = vector / problem.kv_heads, head = vector % problem.kv_heads;
  if (token >= problem.tokens) return;
  const int d = static_cast<int>(i % pieces) * kPiece;
  const float* from = (blockIdx.y == 0 ? problem.k : problem.v) + vector * dim;
  const float4 low = load_four(from, d, dim, problem.by_fours), high = load_four(from, d + 4, dim, problem.by_fours);
  BFloat16* to = (blockIdx.y == 0 ? problem.keys : problem.values) + (head * problem.tokens + token) * padded_dim + d;
  *reinterpret_cast<uint4*>(to) = make_uint4(pack_bf16(low.x, low.y), pack_bf16(low.z, low.w),
                                             pack_bf16(high.x, high.y), pack_bf16(high.z, high.w));
}

/// The queries, scaled so that scores are exponents of two; zeros for rows that are not there.
template <int kDim>
__device__ void load_queries(const AttentionProblem& problem, const QueryTile& tile, const SharedVectors& q) {
  constexpr int kFours = kDim / 4;
  for (int i = static_cast<int>(threadIdx.x); i < Sizes<kDim>::kRows * kFours; i += kThreads) {
    const int row = i / kFours, d = i % kFours * 4;
    const int64_t element = tile.element(row);
    float4 x = make_float4(0, 0, 0, 0);
    if (element >= 0) x = load_four(problem.q + element, d, problem.head_dim, problem.by_fours);
    const float f = problem.factor;
    q.store(row * Sizes<kDim>::kStride + d, make_uint2(pack_bf16(x.x * f, x.y * f), pack_bf16(x.z * f, x.w * f)));
  }
}

/// A block of a record's keys and their values is on its way to one stage: all keys, then all values. From the vector
/// on that is `num_keys` after the block's first, zeros.
template <int kDim>
__device__ void start_copy(const BFloat16* keys, const BFloat16* values, int num_keys, const SharedVectors& to) {
  constexpr int kPieces = kDim / kPiece, kTurn = kThreads / kPieces;  // vectors that the block copies at once
  constexpr int kKeys = Sizes<kDim>::kKeys, kStride = Sizes<kDim>::kStride;
  const int key = static_cast<int>(threadIdx.x) / kPieces, d = static_cast<int>(threadIdx.x) % kPieces * kPiece;
  SWITCHYARD_UNROLL
  for (int k = 0; k < kKeys; k += kTurn) {
    const bool exists = key + k < num_keys;
    copy_async_16(to.address((key + k) * kStride + d), keys + (key + k) * kDim + d, exists);
    copy_async_16(to.address((kKeys + key + k) * kStride + d), values + (key + k) * kDim + d, exists);
  }
  commit_copies();
}

/// A warp's rows: of the lane 4·g + t rows g and g + 8 of each 16, and of 8 columns 2t and 2t + 1.
template <int kDim>
class WarpRows {
  static constexpr int kStride = Sizes<kDim>::kStride, kTiles = Sizes<kDim>::kRowTiles, kKeys = Sizes<kDim>::kKeys;

 public:
  __device__ explicit WarpRows(const QueryTile& tile)
      : tile_(tile),
        lane_(static_cast<int>(threadIdx.x) % kWarp),
        first_row_(static_cast<int>(threadIdx.x) / kWarp * Sizes<kDim>::kWarpRows) {
    SWITCHYARD_UNROLL
    for (int m = 0; m < kTiles; ++m) {
      SWITCHYARD_UNROLL
      for (int half = 0; half < 2; ++half) top_[m][half] = -INFINITY, total_[m][half] = 0;
      SWITCHYARD_UNROLL
      for (int n = 0; n < kDim / 8; ++n) {
        SWITCHYARD_UNROLL
        for (int i = 0; i < 4; ++i) sums_[m][n][i] = 0;
      }
    }
  }

  /// scores = q · keysᵀ
  __device__ void multiply_keys(const SharedVectors& q, const SharedVectors& stage) {
    SWITCHYARD_UNROLL
    for (int m = 0; m < kTiles; ++m) {
      SWITCHYARD_UNROLL
      for (int n = 0; n < kKeys / 8; ++n) {
        SWITCHYARD_UNROLL
        for (int i = 0; i < 4; ++i) scores_[m][n][i] = 0;
      }
    }
    const int a_place = (first_row_ + lane_ % 16) * kStride + lane_ / 16 * 8;
    const int b_place = (lane_ / 16 * 8 + lane_ % 8) * kStride + lane_ / 8 % 2 * 8;
    SWITCHYARD_UNROLL
    for (int d = 0; d < kDim; d += 16) {
      uint32_t a[kTiles][4];
      SWITCHYARD_UNROLL
      for (int m = 0; m < kTiles; ++m) load_matrix_x4(a[m], q.address(a_place + 16 * m * kStride + d));
      SWITCHYARD_UNROLL
      for (int n = 0; n < kKeys; n += 16) {
        uint32_t b[4];
        load_matrix_x4(b, stage.address(b_place + n * kStride + d));
        SWITCHYARD_UNROLL
        for (int m = 0; m < kTiles; ++m) {
          mma_bf16(scores_[m][n / 8], a[m], {b[0], b[1]});
          mma_bf16(scores_[m][n / 8 + 1], a[m], {b[2], b[3]});
        }
      }
    }
  }

  /// Scores of the keys from `first_key` on that a row does not see become −∞. They are none when all rows see all.
  __device__ void mask(int first_key) {
    if (tile_.keys_seen_by(first_row_) >= first_key + kKeys) return;
    SWITCHYARD_UNROLL
    for (int m = 0; m < kTiles; ++m) {
      SWITCHYARD_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int seen = tile_.keys_seen_by(row(m, half)) - first_key - lane_ % 4 * 2;
        SWITCHYARD_UNROLL
        for (int n = 0; n < kKeys / 8; ++n) {
          SWITCHYARD_UNROLL
          for (int i = 0; i < 2; ++i)
            if (8 * n + i >= seen) scores_[m][n][2 * half + i] = -INFINITY;
        }
      }
    }
  }

  /// The online softmax: scores become 2^(score − top); with a new top the sums so far shrink.
  __device__ void exponentiate() {
    SWITCHYARD_UNROLL
    for (int m = 0; m < kTiles; ++m) {
      float shrink[2];
      SWITCHYARD_UNROLL
      for (int half = 0; half < 2; ++half) {
        float top = top_[m][half], total = 0;
        SWITCHYARD_UNROLL
        for (int n = 0; n < kKeys / 8; ++n)
          top = fmaxf(top, fmaxf(scores_[m][n][2 * half], scores_[m][n][2 * half + 1]));
        top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 1));
        top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2));
        SWITCHYARD_UNROLL
        for (int n = 0; n < kKeys / 8; ++n) {
          SWITCHYARD_UNROLL
          for (int i = 2 * half; i < 2 * half + 2; ++i) {
            scores_[m][n][i] = exp2f(scores_[m][n][i] - top);
            total += scores_[m][n][i];
          }
        }
        shrink[half] = exp2f(top_[m][half] - top);
        top_[m][half] = top;
        total_[m][half] = fmaf(total_[m][half], shrink[half], total);
      }
      if (!__any_sync(kAllLanes, shrink[0] != 1 || shrink[1] != 1)) continue;  // · 1 changes no bits
      SWITCHYARD_UNROLL
      for (int n = 0; n < kDim / 8; ++n) {
        SWITCHYARD_UNROLL
        for (int i = 0; i < 4; ++i) sums_[m][n][i] *= shrink[i / 2];
      }
    }
  }

  /// sums += probabilities · values. The layout of the scores is that of a left operand's rows.
  __device__ void add_values(const SharedVectors& stage) {
    const int place = (kKeys + lane_ % 16) * kStride + lane_ / 16 * 8;
    SWITCHYARD_UNROLL
    for (int key = 0; key < kKeys; key += 16) {
      uint32_t a[kTiles][4];
      SWITCHYARD_UNROLL
      for (int m = 0; m < kTiles; ++m) {
        SWITCHYARD_UNROLL
        for (int i = 0; i < 4; ++i) {
          const auto& score = scores_[m][key / 8 + i / 2];
          a[m][i] = pack_bf16(score[i % 2 * 2], score[i % 2 * 2 + 1]);
        }
      }
      SWITCHYARD_UNROLL
      for (int d = 0; d < kDim; d += 16) {
        uint32_t b[4];
        load_matrix_x4_transposed(b, stage.address(place + key * kStride + d));
        SWITCHYARD_UNROLL
        for (int m = 0; m < kTiles; ++m) {
          mma_bf16(sums_[m][d / 8], a[m], {b[0], b[1]});
          mma_bf16(sums_[m][d / 8 + 1], a[m], {b[2], b[3]});
        }
      }
    }
  }

  /// The results replace the warp's own queries, and go to memory from there in long rows.
  __device__ void store(const SharedVectors& q, int head_dim, BFloat16* out) const {
    __syncwarp();  // no lane reads the queries any more
    SWITCHYARD_UNROLL
    for (int m = 0; m < kTiles; ++m) {
      SWITCHYARD_UNROLL
      for (int half = 0; half < 2; ++half) {
        float total = total_[m][half];
        total += __shfl_xor_sync(kAllLanes, total, 1);
        total += __shfl_xor_sync(kAllLanes, total, 2);
        const float inverse = 1 / total;
        SWITCHYARD_UNROLL
        for (int n = 0; n < kDim / 8; ++n)
          q.store(row(m, half) * kStride + 8 * n + lane_ % 4 * 2,
                  pack_bf16(sums_[m][n][2 * half] * inverse, sums_[m][n][2 * half + 1] * inverse));
      }
    }
    __syncwarp();
    const bool by_pieces = head_dim % kPiece == 0 && reinterpret_cast<uintptr_t>(out) % 16 == 0;
    const int width = by_pieces ? kPiece : 1, units = head_dim / width;
    for (int i = lane_; i < Sizes<kDim>::kWarpRows * units; i += kWarp) {
      const int r = first_row_ + i / units, d = i % units * width;
      const int64_t element = tile_.element(r);
      if (element < 0) continue;
      if (by_pieces)
        *reinterpret_cast<uint4*>(out + element + d) = q.template load<uint4>(r * kStride + d);
      else
        out[element + d] = q[r * kStride + d];
    }
  }

  /// Keys of the record that the last of the rows sees.
  __device__ int num_keys() const { return tile_.keys_seen_by(first_row_ + Sizes<kDim>::kWarpRows - 1); }

 private:
  __device__ int row(int m, int half) const { return first_row_ + 16 * m + 8 * half + lane_ / 4; }

  const QueryTile& tile_;
  const int lane_, first_row_;
  float scores_[kTiles][kKeys / 8][4];
  float sums_[kTiles][kDim / 8][4];
  float top_[kTiles][2], total_[kTiles][2];  // total: this lane's columns
};

template <int kDim>
__global__ void __launch_bounds__(kThreads) attention_kernel(AttentionProblem problem, BFloat16* out) {
  constexpr int kKeys = Sizes<kDim>::kKeys, kStageSize = 2 * kKeys * Sizes<kDim>::kStride;
  SharedMemory shared;
  const auto q = shared.take<BFloat16>(Sizes<kDim>::kRows * Sizes<kDim>::kStride);
  const auto stages = shared.take<BFloat16>(kStages * kStageSize);
  const QueryTile tile(problem, blockIdx.x);
  if (tile.empty()) return;

  const int64_t first_vector = tile.kv_head() * problem.tokens + tile.record_begin();
  const BFloat16* keys = problem.keys + first_vector * kDim;
  const BFloat16* values = problem.values + first_vector * kDim;
  const int num_keys = tile.num_keys();
  start_copy<kDim>(keys, values, num_keys, stages.part(0, kStageSize));
  load_queries<kDim>(problem, tile, q);
  WarpRows<kDim> rows(tile);
  for (int first = 0, stage = 0; first < num_keys; first += kKeys, stage ^= 1) {
    wait_for_copies<0>();
    __syncthreads();  // this stage is there, and nobody needs the other one any more
    keys += kKeys * kDim, values += kKeys * kDim;
    if (first + kKeys < num_keys)
      start_copy<kDim>(keys, values, num_keys - first - kKeys, stages.part((stage ^ 1) * kStageSize, kStageSize));
    if (first >= rows.num_keys()) continue;
    const SharedVectors block = stages.part(stage * kStageSize, kStageSize);
    rows.multiply_keys(q, block);
    rows.mask(first);
    rows.exponentiate();
    rows.add_values(block);
  }
  rows.store(q, problem.head_dim, out);
}

template <int kDim>
void launch_kernel(const Stream& stream, const AttentionPlan& plan, const AttentionProblem& problem, BFloat16* out) {
  const int64_t blocks = plan.num_tiles * problem.kv_heads * problem.parts;
  launch(stream, {blocks_for(blocks, 1), kThreads, Sizes<kDim>::shared().bytes()}, attention_kernel<kDim>, problem,
         out);
}

}  // namespace

void attention_bf16(const Stream& stream, const AttentionPlan& plan, const AttentionProblem& problem, BFloat16* out) {
  const int64_t pieces = problem.tokens * problem.kv_heads * (plan.padded_dim / kPiece);
  launch(stream, {dim3(blocks_for(pieces, kThreads), 2), kThreads, 0}, round_kernel, problem, plan.padded_dim);
  switch (plan.padded_dim) {
    case 32:
      return launch_kernel<32>(stream, plan, problem, out);
    case 64:
      return launch_kernel<64>(stream, plan, problem, out);
    case 128:
      return launch_kernel<128>(stream, plan, problem, out);
    default:
      return launch_kernel<256>(stream, plan, problem, out);
  }
}

}  // namespace switchyard::cuda
