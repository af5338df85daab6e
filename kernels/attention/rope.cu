#include "base/device.h"
#include "kernels/attention/rope.h"
#include "kernels/cuda/rows.h"

namespace switchyard::cuda {
namespace {

constexpr int kHeads = 4;  // that a thread turns: their loads are under way together, with one quad of the table

struct Turned {
  float a, b;
};

__device__ Turned turn(float a, float b, float cosine, float sine) {
  return {fmaf(a, cosine, -(b * sine)), fmaf(b, cosine, a * sine)};
}

/// A row is a token; blockIdx.y chooses kHeads heads.
template <bool kWhole>
__global__ void rope_kernel(const int32_t* positions, const float* cos_sin, RowSplit split, int64_t tokens,
                            int64_t heads, int64_t half, float* x) {
  const RowShare share = row_share(split);
  if (share.row >= tokens) return;
  const float* cosine = cos_sin + positions[share.row] * 2 * half;
  const int64_t first_head = int64_t{blockIdx.y} * kHeads;
  float* head = x + (share.row * heads + first_head) * 2 * half;
  for (int64_t i = share.first * kQuad; i < half; i += share.step * kQuad) {
    const int64_t count = half - i;
    const float4 c = load_quad<kWhole>(cosine + i, count), s = load_quad<kWhole>(cosine + half + i, count);
    float4 a[kHeads], b[kHeads];
    for (int h = 0; h < kHeads; ++h) {
      if (first_head + h >= heads) continue;
      a[h] = load_quad<kWhole>(head + h * 2 * half + i, count);
      b[h] = load_quad<kWhole>(head + h * 2 * half + half + i, count);
    }
    for (int h = 0; h < kHeads; ++h) {
      if (first_head + h >= heads) continue;
      const Turned p = turn(a[h].x, b[h].x, c.x, s.x), q = turn(a[h].y, b[h].y, c.y, s.y),
                   r = turn(a[h].z, b[h].z, c.z, s.z), t = turn(a[h].w, b[h].w, c.w, s.w);
      store_quad<kWhole>(head + h * 2 * half + i, make_float4(p.a, q.a, r.a, t.a), count);
      store_quad<kWhole>(head + h * 2 * half + half + i, make_float4(p.b, q.b, r.b, t.b), count);
    }
  }
}

}  // namespace

void fill_rope_table(const Stream& stream, double theta, View cos_sin) {
  OwnedTensor made(cos_sin.shape, DType::f32);
  cpu::fill_rope_table(stream, theta, made.view());
  copy(stream, made.view(), cos_sin);
  synchronize(stream);
}

void rope(const Stream& stream, ConstView positions, ConstView cos_sin, View x) {
  const int64_t tokens = x.rows(), heads = x.shape[1], head_dim = x.shape[2], half = head_dim / 2;
  SWITCHYARD_CHECK(
      x.shape.rank() == 3 && cos_sin.row_elements() == head_dim && head_dim % 2 == 0 && positions.elements() == tokens,
      "rope: x {}, cos_sin {}, positions {}", x.shape.str(), cos_sin.shape.str(), positions.shape.str());
  const RowSplit split = RowSplit::of(quads_of(half));
  LaunchShape shape = split.shape(tokens);
  shape.grid.y = blocks_for(heads, kHeads);
  with_bool(whole_quads(half, {cos_sin, x}), [&](auto whole) {
    launch(stream, shape, rope_kernel<decltype(whole)::value>, positions.as<int32_t>(), cos_sin.as<float>(), split,
           tokens, heads, half, x.as<float>());
  });
}

}  // namespace switchyard::cuda
