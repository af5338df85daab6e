#include "kernels/attention/prepare_heads.h"
#include "kernels/cuda/unroll.h"
#include "kernels/row_blocks.h"
#include "kernels/rows/cuda/norm_row.h"

namespace switchyard::cuda {
namespace {

constexpr int kLaneQuads = kNormLaneQuads;

/// What the kernel gets. Null: nothing of that kind.
struct Problem {
  const float* x;
  int64_t rows;  ///< a row is the vector of one head of a token
  uint32_t heads;
  int64_t dim;
  const int32_t* positions;
  QkNorm norm;
  const float* norm_weight;
  float eps;
  const float* cos_sin;
  int64_t first, half;  ///< the first dimension that turns; pairs
  const float* factors;
  float factor;
};

/// A lane's quads of a vector are number first, first + step, … All lanes of a warp take part in the sums.
template <bool kWhole>
class LaneVector {
 public:
  __device__ LaneVector(const Problem& p, const RowShare& share)
      : share_(share), dim_(share.row < p.rows ? p.dim : 0), dim_of_all_(p.dim) {
    SWITCHYARD_UNROLL
    for (int q = 0; q < kLaneQuads; ++q)
      values_[q] = has(q) ? load_quad<kWhole>(p.x + share.row * p.dim + begin(q), dim_ - begin(q)) : float4{};
  }

  /// As rms_norm: which lane adds which squares, and in what order, follows from the vector's length alone.
  __device__ void norm(const float* weight, float eps) {
    float squares = 0;
    SWITCHYARD_UNROLL
    for (const float4& v : values_) squares = add_squares(squares, v);
    const float scale = inverse_rms(sum_of_lanes(squares, share_.step), dim_of_all_, eps);
    for_each([&](float4& v, int64_t i) {
      v = normed<kWhole>(v, scale, weight != nullptr ? weight + i : nullptr, dim_ - i);
    });
  }

  /// vector: room for all of it, where the halves of pairs meet. cosine: of the first pair; sines are `half` behind.
  template <RotaryPairs kPairs>
  __device__ void turn(const SharedArray<float>& vector, const float* cosine, int64_t first, int64_t half) {
    SWITCHYARD_UNROLL
    for (int q = 0; q < kLaneQuads; ++q) vector.store(static_cast<int>(begin(q)), values_[q]);
    __syncwarp();
    for_each([&](float4& v, int64_t i) {
      if constexpr (kWhole) {
        if (i < first || i >= first + 2 * half) return;
        if constexpr (kPairs == RotaryPairs::halves)
          turn_half(v, vector, cosine, i - first, first, half);
        else
          turn_pairs(v, cosine + (i - first) / 2, half);
      } else {
        turn_one<kPairs>(v.x, vector, cosine, i, first, half);
        turn_one<kPairs>(v.y, vector, cosine, i + 1, first, half);
        turn_one<kPairs>(v.z, vector, cosine, i + 2, first, half);
        turn_one<kPairs>(v.w, vector, cosine, i + 3, first, half);
      }
    });
  }

  __device__ void multiply(float factor) {
    for_each([&](float4& v, int64_t) { v = make_float4(v.x * factor, v.y * factor, v.z * factor, v.w * factor); });
  }

  template <class T>
  __device__ void store(T* y) {
    for_each([&](float4& v, int64_t i) { store_quad<kWhole>(y + share_.row * dim_of_all_ + i, v, dim_ - i); });
  }

 private:
  __device__ int64_t begin(int q) const { return (share_.first + q * share_.step) * kQuad; }
  __device__ bool has(int q) const { return begin(q) < dim_; }
  /// body(quad, its first element), for those that are there.
  template <class Body>
  __device__ void for_each(const Body& body) {
    SWITCHYARD_UNROLL
    for (int q = 0; q < kLaneQuads; ++q)
      if (has(q)) body(values_[q], begin(q));
  }

  // (a, b) becomes (a cos − b sin, b cos + a sin): of each, itself · cos + the other · ± sin.

  /// Elements d … d + 3 of those that turn are all of pairs' first or second halves.
  __device__ static void turn_half(float4& v, const SharedArray<float>& vector, const float* cosine, int64_t d,
                                   int64_t first, int64_t half) {
    const bool is_first = d < half;
    const int64_t pair = is_first ? d : d - half;
    const float4 c = read_quad(cosine + pair), sine = read_quad(cosine + half + pair);
    const float4 other = vector.template load<float4>(static_cast<int>(first + (is_first ? d + half : pair)));
    const float4 s = is_first ? make_float4(-sine.x, -sine.y, -sine.z, -sine.w) : sine;
    v = make_float4(fmaf(v.x, c.x, other.x * s.x), fmaf(v.y, c.y, other.y * s.y), fmaf(v.z, c.z, other.z * s.z),
                    fmaf(v.w, c.w, other.w * s.w));
  }
  /// Two whole pairs.
  __device__ static void turn_pairs(float4& v, const float* cosine, int64_t half) {
    const float c0 = cosine[0], c1 = cosine[1], s0 = cosine[half], s1 = cosine[half + 1];
    v = make_float4(fmaf(v.x, c0, v.y * -s0), fmaf(v.y, c0, v.x * s0), fmaf(v.z, c1, v.w * -s1),
                    fmaf(v.w, c1, v.z * s1));
  }
  /// Element i, wherever it lies.
  template <RotaryPairs kPairs>
  __device__ static void turn_one(float& x, const SharedArray<float>& vector, const float* cosine, int64_t i,
                                  int64_t first, int64_t half) {
    const int64_t d = i - first;
    if (d < 0 || d >= 2 * half) return;
    const bool halves = kPairs == RotaryPairs::halves, is_first = halves ? d < half : d % 2 == 0;
    const int64_t pair = halves ? d % half : d / 2, distance = halves ? half : 1;
    const float other = vector[static_cast<int>(is_first ? i + distance : i - distance)], s = cosine[half + pair];
    x = fmaf(x, cosine[pair], other * (is_first ? -s : s));
  }

  const RowShare& share_;
  const int64_t dim_, dim_of_all_;  // dim_: 0 for a row that is not there, whose lanes take part in sums
  float4 values_[kLaneQuads];
};

/// 2^split.log2_threads ≤ 32 neighbouring lanes a vector.
template <class T, bool kWhole, RotaryPairs kPairs>
__global__ void prepare_heads_kernel(Problem p, RowSplit split, T* y) {
  SharedMemory shared;
  const auto vectors = shared.take<float>(kRowThreads * kLaneQuads * kQuad);
  const RowShare share = row_share(split);
  const int size = static_cast<int>(share.step) * kLaneQuads * kQuad;
  const auto vector = vectors.part((static_cast<int>(threadIdx.x) >> split.log2_threads) * size, size);
  const int64_t position = share.row < p.rows ? p.positions[static_cast<uint32_t>(share.row) / p.heads] : 0;
  LaneVector<kWhole> v(p, share);
  if (p.norm == QkNorm::before_rotary) v.norm(p.norm_weight, p.eps);
  if (p.cos_sin != nullptr) v.template turn<kPairs>(vector, p.cos_sin + position * 2 * p.half, p.first, p.half);
  if (p.norm == QkNorm::after_rotary) v.norm(p.norm_weight, p.eps);
  if (p.factors != nullptr) v.multiply(p.factors[position]);
  v.multiply(p.factor);
  v.store(y);
}

}  // namespace

static void run_prepare_heads(const Stream& stream, ConstView x, ConstView positions, const HeadSteps& steps, View y) {
  check_prepare_heads(x, positions, steps, y);
  const int64_t rows = x.rows() * x.shape[1], dim = x.shape[2];
  SWITCHYARD_CHECK(dim <= kShortNorm && rows <= 0x7fffffff, "prepare_heads: x {}; head_dim is at most {} here",
                   x.shape.str(), kShortNorm);
  const Problem problem{.x = x.as<float>(),
                        .rows = rows,
                        .heads = static_cast<uint32_t>(x.shape[1]),
                        .dim = dim,
                        .positions = positions.as<int32_t>(),
                        .norm = steps.norm,
                        .norm_weight = steps.norm_weight.as<float>(),
                        .eps = steps.eps,
                        .cos_sin = steps.turn() ? steps.cos_sin.as<float>() : nullptr,
                        .first = steps.first,
                        .half = steps.turn() ? steps.cos_sin.row_elements() / 2 : 0,
                        .factors = steps.factors.rows() > 0 ? steps.factors.as<float>() : nullptr,
                        .factor = steps.factor};
  const RowSplit split = short_norm_split(dim);
  LaunchShape shape = split.shape(rows);
  shape.shared_bytes = SharedLayout().add<float>(kRowThreads * kLaneQuads * kQuad).bytes();
  const bool whole = whole_quads(dim, {x, steps.norm_weight, steps.cos_sin, y}) && problem.first % kQuad == 0 &&
                     problem.half % kQuad == 0;
  with_float_type(y.dtype, "prepare_heads", [&](auto element) {
    with_bool(whole, [&](auto by_quads) {
      using T = decltype(element);
      constexpr bool kWhole = decltype(by_quads)::value;
      const auto kernel = steps.pairs == RotaryPairs::halves ? prepare_heads_kernel<T, kWhole, RotaryPairs::halves>
                                                             : prepare_heads_kernel<T, kWhole, RotaryPairs::adjacent>;
      launch(stream, shape, kernel, problem, split, y.as<T>());
    });
  });
}
CudaOp<PrepareHeadsFn> prepare_heads = run_prepare_heads;

}  // namespace switchyard::cuda
