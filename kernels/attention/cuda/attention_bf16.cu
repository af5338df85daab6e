// Attention with tensor cores, after FlashAttention-2 (Dao 2023): a warp has whole rows of the scores in registers,
// where they become the left operand of the second product.
#include "kernels/attention/cuda/attention_tile.h"
#include "kernels/cuda/exponential.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tensor_core.h"
#include "kernels/cuda/unroll.h"
#include "kernels/cuda/warp.h"

namespace switchyard::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarp;
constexpr int kPiece = 8;   // bf16 elements of 16 bytes
constexpr int kStages = 2;  // one block of keys and values is used, the next one is on its way

/// Of a vector of `dim` elements in shared memory: eight rows lie in different banks.
constexpr int stride_of(int dim) {
  return dim + kPiece;
}

template <int kDim, int kValueDim>
struct Sizes {
  static_assert(kValueDim <= kDim, "results take the place of queries");
  static constexpr int kRows = attention_tile_rows({kDim, kValueDim}, DType::bf16);
  static constexpr int kWarpRows = kRows / kWarps, kRowTiles = kWarpRows / 16;
  static constexpr int kKeys = kDim <= 64 ? 64 : 32;  // of a block, counted from the record's start
  static constexpr int kQueries = kRows * stride_of(kDim), kStageKeys = kKeys * stride_of(kDim),
                       kStage = kStageKeys + kKeys * stride_of(kValueDim);  // elements; a stage's keys, then values
  static SharedLayout shared() {
    SharedLayout layout;
    layout.add<BFloat16>(kQueries), layout.add<BFloat16>(kStages * kStage);
    return layout;
  }
};

using SharedVectors = SharedArray<BFloat16>;

/// Elements d … d + 7 of a vector of `dim` are on their way to shared memory; zeros where there are none.
__device__ inline void start_piece(const BFloat16* from, int d, int dim, bool is_there, bool by_pieces,
                                   const SharedVectors& to, int place) {
  if (by_pieces) return copy_async_16(to.address(place), from + d, is_there && d < dim);
  for (int i = 0; i < kPiece; ++i) to[place + i] = is_there && d + i < dim ? from[d + i] : BFloat16{};
}

/// The queries of a block are on their way; zeros for rows that are not there.
template <int kRows, int kDim>
__device__ void start_queries(const AttentionProblem& problem, const QueryTile& tile, const SharedVectors& to) {
  constexpr int kPieces = kDim / kPiece;
  const auto* queries = static_cast<const BFloat16*>(problem.q);
  const int dim = problem.size.head_dim;
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kPieces; i += kThreads) {
    const int row = i / kPieces, d = i % kPieces * kPiece;
    const int64_t vector = tile.vector(row);
    start_piece(queries + (vector >= 0 ? vector * dim : 0), d, dim, vector >= 0, problem.by_pieces, to,
                row * stride_of(kDim) + d);
  }
}

/// kKeys vectors of `dim`, `stride` elements apart, are on their way to shared memory; from number `num_keys` on,
/// zeros.
template <int kKeys, int kDim>
__device__ void start_copy(const BFloat16* vectors, int stride, int dim, bool by_pieces, int num_keys,
                           const SharedVectors& to) {
  constexpr int kPieces = kDim / kPiece, kAcross = kPieces & -kPieces;  // a power of two: columns of pieces at once
  constexpr int kDown = kThreads / kAcross;                             // vectors at once
  static_assert(kKeys % kDown == 0, "every thread copies as much");
  const int key = static_cast<int>(threadIdx.x) / kAcross, d = static_cast<int>(threadIdx.x) % kAcross * kPiece;
  vectors += static_cast<int64_t>(key) * stride;
  SWITCHYARD_UNROLL
  for (int k = 0; k < kKeys; k += kDown, vectors += kDown * stride) {
    SWITCHYARD_UNROLL
    for (int c = 0; c < kDim; c += kAcross * kPiece)
      start_piece(vectors, d + c, dim, key + k < num_keys, by_pieces, to, (key + k) * stride_of(kDim) + d + c);
  }
}

/// A warp's rows: of the lane 4·g + t rows g and g + 8 of each 16, and of 8 columns 2t and 2t + 1.
template <int kDim, int kValueDim>
class WarpRows {
  using Size = Sizes<kDim, kValueDim>;
  static constexpr int kStride = stride_of(kDim), kValueStride = stride_of(kValueDim);
  static constexpr int kTiles = Size::kRowTiles, kKeys = Size::kKeys;

 public:
  __device__ explicit WarpRows(const QueryTile& tile)
      : tile_(tile),
        lane_(static_cast<int>(threadIdx.x) % kWarp),
        first_row_(static_cast<int>(threadIdx.x) / kWarp * Size::kWarpRows) {
    SWITCHYARD_UNROLL
    for (int m = 0; m < kTiles; ++m) {
      SWITCHYARD_UNROLL
      for (int half = 0; half < 2; ++half) {
        top_[m][half] = tile.first_top(row(m, half));
        total_[m][half] = lane_ % 4 == 0 ? tile.first_total() : 0;
      }
      SWITCHYARD_UNROLL
      for (int n = 0; n < kValueDim / 8; ++n) {
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
    if (tile_.keys_seen_by(first_row_) >= first_key + kKeys && tile_.first_key_of(last_row()) <= first_key) return;
    SWITCHYARD_UNROLL
    for (int m = 0; m < kTiles; ++m) {
      SWITCHYARD_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int first_column = first_key + lane_ % 4 * 2;
        const int from = tile_.first_key_of(row(m, half)) - first_column;
        const int to = tile_.keys_seen_by(row(m, half)) - first_column;
        SWITCHYARD_UNROLL
        for (int n = 0; n < kKeys / 8; ++n) {
          SWITCHYARD_UNROLL
          for (int i = 0; i < 2; ++i)
            if (8 * n + i < from || 8 * n + i >= to) scores_[m][n][2 * half + i] = -INFINITY;
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
            scores_[m][n][i] = fast_exp2(scores_[m][n][i] - top);
            total += scores_[m][n][i];
          }
        }
        shrink[half] = fast_exp2(top_[m][half] - top);
        top_[m][half] = top;
        total_[m][half] = fmaf(total_[m][half], shrink[half], total);
      }
      if (!__any_sync(kAllLanes, shrink[0] != 1 || shrink[1] != 1)) continue;  // · 1 changes no bits
      SWITCHYARD_UNROLL
      for (int n = 0; n < kValueDim / 8; ++n) {
        SWITCHYARD_UNROLL
        for (int i = 0; i < 4; ++i) sums_[m][n][i] *= shrink[i / 2];
      }
    }
  }

  /// sums += probabilities · values. The layout of the scores is that of a left operand's rows.
  __device__ void add_values(const SharedVectors& stage) {
    const int place = Size::kStageKeys + lane_ % 16 * kValueStride + lane_ / 16 * 8;
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
      for (int d = 0; d < kValueDim; d += 16) {
        uint32_t b[4];
        load_matrix_x4_transposed(b, stage.address(place + key * kValueStride + d));
        SWITCHYARD_UNROLL
        for (int m = 0; m < kTiles; ++m) {
          mma_bf16(sums_[m][d / 8], a[m], {b[0], b[1]});
          mma_bf16(sums_[m][d / 8 + 1], a[m], {b[2], b[3]});
        }
      }
    }
  }

  /// The results replace the warp's own queries, and go to memory from there in long rows.
  __device__ void store(const SharedVectors& q, int value_dim, bool by_pieces, BFloat16* out) const {
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
        for (int n = 0; n < kValueDim / 8; ++n)
          q.store(row(m, half) * kStride + 8 * n + lane_ % 4 * 2,
                  pack_bf16(sums_[m][n][2 * half] * inverse, sums_[m][n][2 * half + 1] * inverse));
      }
    }
    __syncwarp();
    const int width = by_pieces ? kPiece : 1, units = value_dim / width;
    for (int i = lane_; i < Size::kWarpRows * units; i += kWarp) {
      const int r = first_row_ + i / units, d = i % units * width;
      const int64_t vector = tile_.vector(r);
      if (vector < 0) continue;
      BFloat16* to = out + vector * value_dim + d;
      if (by_pieces)
        *reinterpret_cast<uint4*>(to) = q.template load<uint4>(r * kStride + d);
      else
        *to = q[r * kStride + d];
    }
  }

  /// Whether some row sees some of the block of keys from `first_key` on.
  __device__ bool see_any(int first_key) const {
    return first_key < tile_.keys_seen_by(last_row()) && first_key + kKeys > tile_.first_key_of(first_row_);
  }

 private:
  __device__ int last_row() const { return first_row_ + Size::kWarpRows - 1; }
  __device__ int row(int m, int half) const { return first_row_ + 16 * m + 8 * half + lane_ / 4; }

  const QueryTile& tile_;
  const int lane_, first_row_;
  float scores_[kTiles][kKeys / 8][4];
  float sums_[kTiles][kValueDim / 8][4];
  float top_[kTiles][2], total_[kTiles][2];  // total: this lane's columns
};

template <int kDim, int kValueDim>
__global__ void __launch_bounds__(kThreads) attention_kernel(AttentionProblem problem, BFloat16* out) {
  using Size = Sizes<kDim, kValueDim>;
  constexpr int kKeys = Size::kKeys;
  SharedMemory shared;
  const auto q = shared.take<BFloat16>(Size::kQueries);
  const auto stages = shared.take<BFloat16>(kStages * Size::kStage);
  const QueryTile tile(problem, blockIdx.x);
  if (tile.empty()) return;

  int first = tile.first_key(kKeys);
  const int num_keys = tile.num_keys();
  const auto [dim, value_dim] = problem.size;
  const int64_t first_key = tile.record_begin() + first;
  const BFloat16* keys =
      static_cast<const BFloat16*>(problem.k) + (first_key * problem.kv_heads + tile.kv_head()) * dim;
  const BFloat16* values =
      static_cast<const BFloat16*>(problem.v) + (first_key * problem.kv_heads + tile.kv_head()) * value_dim;
  const auto start_block = [&](int count, const SharedVectors& stage) {
    start_copy<kKeys, kDim>(keys, problem.kv_heads * dim, dim, problem.by_pieces, count, stage);
    start_copy<kKeys, kValueDim>(values, problem.kv_heads * value_dim, value_dim, problem.by_pieces, count,
                                 stage.part(Size::kStageKeys, Size::kStage - Size::kStageKeys));
    commit_copies();
  };
  start_queries<Size::kRows, kDim>(problem, tile, q);
  start_block(num_keys - first, stages.part(0, Size::kStage));
  WarpRows<kDim, kValueDim> rows(tile);
  for (int stage = 0; first < num_keys; first += kKeys, stage ^= 1) {
    wait_for_copies<0>();
    __syncthreads();  // this stage is there, and nobody needs the other one any more
    keys += static_cast<int64_t>(kKeys) * problem.kv_heads * dim;
    values += static_cast<int64_t>(kKeys) * problem.kv_heads * value_dim;
    if (first + kKeys < num_keys)
      start_block(num_keys - first - kKeys, stages.part((stage ^ 1) * Size::kStage, Size::kStage));
    if (!rows.see_any(first)) continue;
    const SharedVectors block = stages.part(stage * Size::kStage, Size::kStage);
    rows.multiply_keys(q, block);
    rows.mask(first);
    rows.exponentiate();
    rows.add_values(block);
  }
  rows.store(q, problem.size.value_dim, problem.by_pieces, out);
}

template <int kDim, int kValueDim>
void launch_kernel(const Stream& stream, const AttentionPlan& plan, const AttentionProblem& problem, BFloat16* out) {
  const int64_t blocks = plan.num_tiles * problem.kv_heads * problem.parts;
  launch(stream, {blocks_for(blocks, 1), kThreads, Sizes<kDim, kValueDim>::shared().bytes()},
         attention_kernel<kDim, kValueDim>, problem, out);
}

}  // namespace

void attention_bf16(const Stream& stream, const AttentionPlan& plan, const AttentionProblem& problem, BFloat16* out) {
  switch (plan.padded.head_dim) {
    case 32:
      return launch_kernel<32, 32>(stream, plan, problem, out);
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
