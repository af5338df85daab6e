// What the row-wise kernels share: how a block's threads divide rows among themselves, and elements moved four at a
// time. All of these kernels wait for memory, so what counts is wide, consecutive accesses, and enough of them under
// way.
#pragma once

#include <cuda_runtime.h>

#include <bit>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "base/dtype.h"
#include "base/tensor.h"
#include "kernels/cuda/launch.h"

namespace switchyard::cuda {

inline constexpr int kRowThreads = 256;  // of a block

/// 2^log2_threads threads a row, and as many rows a block as they leave room for.
struct RowSplit {
  int log2_threads = 0;

  /// A row of `pieces` pieces, about `per_thread` of them (or more, in a long row) for each thread.
  static RowSplit of(int64_t pieces, int64_t per_thread = 1) {
    RowSplit split;
    while (split.threads() < kRowThreads && split.threads() * per_thread < pieces) ++split.log2_threads;
    return split;
  }
  int threads() const { return 1 << log2_threads; }
  LaunchShape shape(int64_t rows) const { return {blocks_for(rows, kRowThreads >> log2_threads), kRowThreads}; }
};

/// A thread's part: pieces first, first + step, … of a row, which may lie beyond the last one.
struct RowShare {
  int64_t row, first, step;
};

__device__ inline RowShare row_share(RowSplit split) {
  const int thread = static_cast<int>(threadIdx.x), rows = kRowThreads >> split.log2_threads;
  return {int64_t{blockIdx.x} * rows + (thread >> split.log2_threads), thread & ((1 << split.log2_threads) - 1),
          1 << split.log2_threads};
}

// Quads: four consecutive elements. The last of a row may be a part of one.
inline constexpr int64_t kQuad = 4;

inline int64_t quads_of(int64_t elements) {
  return (elements + kQuad - 1) / kQuad;
}

/// Whether all quads of rows of this length can be read and written in one access each.
inline bool whole_quads(int64_t row_elements, std::initializer_list<ConstView> views) {
  bool whole = row_elements % kQuad == 0;
  for (const ConstView& view : views)
    whole = whole && std::bit_cast<uintptr_t>(view.data) % (kQuad * size_of(view.dtype)) == 0;
  return whole;
}

__device__ inline float as_float(float x) {
  return x;
}
__device__ inline float as_float(BFloat16 x) {
  return to_float(x);
}
__device__ inline void put(float* to, float value) {
  *to = value;
}
__device__ inline void put(BFloat16* to, float value) {
  *to = to_bfloat16(value);
}

__device__ inline float4 read_quad(const float* from) {
  return *reinterpret_cast<const float4*>(from);
}
__device__ inline float4 read_quad(const BFloat16* from) {
  const uint2 bits = *reinterpret_cast<const uint2*>(from);
  return make_float4(std::bit_cast<float>(bits.x << 16), std::bit_cast<float>(bits.x & 0xffff0000u),
                     std::bit_cast<float>(bits.y << 16), std::bit_cast<float>(bits.y & 0xffff0000u));
}
__device__ inline void write_quad(float* to, float4 value) {
  *reinterpret_cast<float4*>(to) = value;
}
// Not with pack_bf16(), which makes all NaNs one: the bits are to_bfloat16()'s on every path and device.
__device__ inline uint32_t pair_of(float low, float high) {
  return uint32_t{to_bfloat16(low).bits} | uint32_t{to_bfloat16(high).bits} << 16;
}
__device__ inline void write_quad(BFloat16* to, float4 value) {
  *reinterpret_cast<uint2*>(to) = make_uint2(pair_of(value.x, value.y), pair_of(value.z, value.w));
}

/// The quad at `from`, in one access when kWhole. Otherwise one by one: `count` elements of it exist (4 or more: all),
/// and the others are 0.
template <bool kWhole, class T>
__device__ inline float4 load_quad(const T* from, int64_t count) {
  if constexpr (kWhole)
    return read_quad(from);
  else
    return make_float4(count > 0 ? as_float(from[0]) : 0.0f, count > 1 ? as_float(from[1]) : 0.0f,
                       count > 2 ? as_float(from[2]) : 0.0f, count > 3 ? as_float(from[3]) : 0.0f);
}

template <bool kWhole, class T>
__device__ inline void store_quad(T* to, float4 value, int64_t count) {
  if constexpr (kWhole) {
    write_quad(to, value);
  } else {
    if (count > 0) put(to, value.x);
    if (count > 1) put(to + 1, value.y);
    if (count > 2) put(to + 2, value.z);
    if (count > 3) put(to + 3, value.w);
  }
}

/// body(std::true_type{}) or body(std::false_type{}), for a choice that is compiled into a kernel.
template <class Body>
void with_bool(bool value, const Body& body) {
  if (value)
    body(std::true_type{});
  else
    body(std::false_type{});
}

}  // namespace switchyard::cuda
