#include "base/device.h"
#include "kernels/attention/rope.h"
#include "kernels/cuda/rows.h"

namespace switchyard::cuda {
namespace {

constexpr int kHeads = 4;  // that a thread turns: their loads are under way together, with one quad of the table

/// A thread's four pairs (a, b) of one head.
struct PairQuad {
  float4 a, b;
};

/// Pairs i … i + 3 of `half`; kWhole: all exist, and can be read and written in whole quads.
template <bool kWhole, RotaryPairs kPairs>
__device__ PairQuad load_pairs(const float* x, int64_t i, int64_t half) {
  const int64_t count = half - i;
  if constexpr (kPairs == RotaryPairs::halves) {
    return {load_quad<kWhole>(x + i, count), load_quad<kWhole>(x + half + i, count)};
  } else {
    const float4 low = load_quad<kWhole>(x + 2 * i, 2 * count), high = load_quad<kWhole>(x + 2 * i + 4, 2 * count - 4);
    return {make_float4(low.x, low.z, high.x, high.z), make_float4(low.y, low.w, high.y, high.w)};
  }
}

template <bool kWhole, RotaryPairs kPairs>
__device__ void store_pairs(const PairQuad& p, float* x, int64_t i, int64_t half) {
  const int64_t count = half - i;
  if constexpr (kPairs == RotaryPairs::halves) {
    store_quad<kWhole>(x + i, p.a, count);
    store_quad<kWhole>(x + half + i, p.b, count);
  } else {
    store_quad<kWhole>(x + 2 * i, make_float4(p.a.x, p.b.x, p.a.y, p.b.y), 2 * count);
    store_quad<kWhole>(x + 2 * i + 4, make_float4(p.a.z, p.b.z, p.a.w, p.b.w), 2 * count - 4);
  }
}

__device__ void turn(float& a, float& b, float cosine, float sine) {
  const float turned = fmaf(a, cosine, -(b * sine));
  b = fmaf(b, cosine, a * sine);
  a = turned;
}

/// A row is a token; blockIdx.y chooses kHeads heads. x: the first head's first rotated dimension.
template <bool kWhole, RotaryPairs kPairs>
__global__ void rope_kernel(const int32_t* positions, const float* cos_sin, RowSplit split, int64_t tokens,
                            int64_t heads, int64_t head_dim, int64_t half, float* x) {
  const RowShare share = row_share(split);
  if (share.row >= tokens) return;
  const float* cosine = cos_sin + positions[share.row] * 2 * half;
  const int64_t first_head = int64_t{blockIdx.y} * kHeads;
  float* head = x + (share.row * heads + first_head) * head_dim;
  for (int64_t i = share.first * kQuad; i < half; i += share.step * kQuad) {
    const int64_t count = half - i;
    const float4 c = load_quad<kWhole>(cosine + i, count), s = load_quad<kWhole>(cosine + half + i, count);
    PairQuad pairs[kHeads];
    for (int h = 0; h < kHeads; ++h)
      if (first_head + h < heads) pairs[h] = load_pairs<kWhole, kPairs>(head + h * head_dim, i, half);
    for (int h = 0; h < kHeads; ++h) {
      if (first_head + h >= heads) continue;
      auto& [a, b] = pairs[h];
      turn(a.x, b.x, c.x, s.x), turn(a.y, b.y, c.y, s.y), turn(a.z, b.z, c.z, s.z), turn(a.w, b.w, c.w, s.w);
      store_pairs<kWhole, kPairs>(pairs[h], head + h * head_dim, i, half);
    }
  }
}

}  // namespace

void fill_rope_table(const Stream& stream, std::span<const double> frequencies, double factor, View cos_sin) {
  OwnedTensor made(cos_sin.shape, DType::f32);
  cpu::fill_rope_table(stream, frequencies, factor, made.view());
  copy(stream, made.view(), cos_sin);
  synchronize(stream);
}

void rope(const Stream& stream, ConstView positions, ConstView cos_sin, RotaryPairs pairs, int64_t first, View x) {
  check_rope(positions, cos_sin, first, x);
  const int64_t tokens = x.rows(), heads = x.shape[1], head_dim = x.shape[2], half = cos_sin.row_elements() / 2;
  const RowSplit split = RowSplit::of(quads_of(half));
  LaunchShape shape = split.shape(tokens);
  shape.grid.y = blocks_for(heads, kHeads);
  with_bool(whole_quads(half, {cos_sin, x}) && head_dim % kQuad == 0 && first % kQuad == 0, [&](auto whole) {
    constexpr bool kWhole = decltype(whole)::value;
    const auto kernel = pairs == RotaryPairs::halves ? rope_kernel<kWhole, RotaryPairs::halves>
                                                     : rope_kernel<kWhole, RotaryPairs::adjacent>;
    launch(stream, shape, kernel, positions.as<int32_t>(), cos_sin.as<float>(), split, tokens, heads, head_dim, half,
           x.as<float>() + first);
  });
}

}  // namespace switchyard::cuda
