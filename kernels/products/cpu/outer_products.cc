#include "kernels/products/cpu/outer_products.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace switchyard {
namespace {

// Where a tile of a node's matrix is written. Only whole lines are worth writing past the caches.
struct Target {
  float* first;
  int64_t stride, columns;
  bool past_caches;
};

Target target_of(const OuterProducts& t, int node) {
  float* first = t.nodes[node] + t.offset;
  const bool whole_lines =
      t.columns == kOuterColumns && t.stride % 16 == 0 && std::bit_cast<uintptr_t>(first) % 64 == 0;
  return {first, t.stride, t.columns, t.past_caches && whole_lines};
}

// With AVX2 6 × 16 sums fill twelve of sixteen registers: a tile is four such parts.
constexpr int64_t kPartRows = 6, kPartColumns = 16;

void store_avx2(const Target& to, int64_t row, int64_t column, F32x8 v) {
  float* p = to.first + row * to.stride + column;
  if (to.past_caches)
    _mm256_stream_ps(p, v);
  else if (column + kLanes <= to.columns)
    store(p, v);
  else
    store_part(p, v, to.columns - column);
}

template <int Rows>
void sum_part_avx2(const OuterProducts& t, int64_t first_row, int64_t first_column) {
  const float *a = t.a + first_row, *b = t.b + first_column;
  for (const ChainStep& step : t.steps) {
    float* top = t.stack + step.depth * kOuterTile + first_row * kOuterColumns + first_column;
    F32x8 sum[Rows][2];
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      sum[r][0] = step.resumes ? load(top + r * kOuterColumns) : broadcast(0);
      sum[r][1] = step.resumes ? load(top + r * kOuterColumns + kLanes) : broadcast(0);
    }
    for (int64_t i = 0; i < step.rows; ++i, a += kOuterRows, b += kOuterColumns) {
      const F32x8 b0 = load(b), b1 = load(b + kLanes);
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) {
        const F32x8 ar = broadcast(a[r]);
        sum[r][0] = fma(ar, b0, sum[r][0]);
        sum[r][1] = fma(ar, b1, sum[r][1]);
      }
    }
    if (step.squares) {
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) {
        sum[r][0] *= sum[r][0];
        sum[r][1] *= sum[r][1];
      }
    }
    if (step.merges == 0) {  // what is added to something that is never −0 need not be
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) {
        sum[r][0] += 0.0f;
        sum[r][1] += 0.0f;
      }
    }
    for (int merge = 0; merge < step.merges; ++merge) {
      top -= kOuterTile;
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) {
        sum[r][0] = load(top + r * kOuterColumns) + sum[r][0];
        sum[r][1] = load(top + r * kOuterColumns + kLanes) + sum[r][1];
      }
    }
    if (step.node < 0) {
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) {
        store(top + r * kOuterColumns, sum[r][0]);
        store(top + r * kOuterColumns + kLanes, sum[r][1]);
      }
    } else {
      const Target to = target_of(t, step.node);
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) {
        store_avx2(to, first_row + r, first_column, sum[r][0]);
        store_avx2(to, first_row + r, first_column + kLanes, sum[r][1]);
      }
    }
  }
}

SWITCHYARD_AVX512 void store_avx512(const Target& to, int64_t row, __m512 left, __m512 right) {
  float* p = to.first + row * to.stride;
  if (to.past_caches) {
    _mm512_stream_ps(p, left);
    _mm512_stream_ps(p + 16, right);
  } else if (to.columns == kOuterColumns) {
    _mm512_storeu_ps(p, left);
    _mm512_storeu_ps(p + 16, right);
  } else {
    store_lanes(p, left, first_lanes(to.columns));
    if (to.columns > 16) store_lanes(p + 16, right, first_lanes(to.columns - 16));
  }
}

struct Products {
  SWITCHYARD_AVX512 [[gnu::always_inline]] static __m512 add(__m512 sum, __m512 a, __m512 b) {
    return _mm512_fmadd_ps(a, b, sum);
  }
};

struct PairsOfProducts {
  // In assembly: a function for CPUs with bf16 could not be part of one for all with AVX-512.
  SWITCHYARD_AVX512 [[gnu::always_inline]] static __m512 add(__m512 sum, __m512 a, __m512 b) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
  }
};

// With AVX-512 the 12 × 32 sums of a tile fill 24 of 32 registers.
template <class Multiply, int Rows>
SWITCHYARD_AVX512 void sum_avx512(const OuterProducts& t) {
  const float *a = t.a, *b = t.b;
  for (const ChainStep& step : t.steps) {
    float* top = t.stack + step.depth * kOuterTile;
    __m512 sum[Rows][2];
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r) {
      sum[r][0] = step.resumes ? _mm512_loadu_ps(top + r * kOuterColumns) : _mm512_setzero_ps();
      sum[r][1] = step.resumes ? _mm512_loadu_ps(top + r * kOuterColumns + 16) : _mm512_setzero_ps();
    }
    for (int64_t i = 0; i < step.rows; ++i, a += kOuterRows, b += kOuterColumns) {
      const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
#pragma GCC unroll 12
      for (int r = 0; r < Rows; ++r) {
        const __m512 ar = _mm512_set1_ps(a[r]);
        sum[r][0] = Multiply::add(sum[r][0], ar, b0);
        sum[r][1] = Multiply::add(sum[r][1], ar, b1);
      }
    }
    if (step.squares) {
#pragma GCC unroll 12
      for (int r = 0; r < Rows; ++r) {
        sum[r][0] = _mm512_mul_ps(sum[r][0], sum[r][0]);
        sum[r][1] = _mm512_mul_ps(sum[r][1], sum[r][1]);
      }
    }
    if (step.merges == 0) {
#pragma GCC unroll 12
      for (int r = 0; r < Rows; ++r) {
        sum[r][0] = _mm512_add_ps(sum[r][0], _mm512_setzero_ps());
        sum[r][1] = _mm512_add_ps(sum[r][1], _mm512_setzero_ps());
      }
    }
    for (int merge = 0; merge < step.merges; ++merge) {
      top -= kOuterTile;
#pragma GCC unroll 12
      for (int r = 0; r < Rows; ++r) {
        sum[r][0] = _mm512_add_ps(_mm512_loadu_ps(top + r * kOuterColumns), sum[r][0]);
        sum[r][1] = _mm512_add_ps(_mm512_loadu_ps(top + r * kOuterColumns + 16), sum[r][1]);
      }
    }
    if (step.node < 0) {
#pragma GCC unroll 12
      for (int r = 0; r < Rows; ++r) {
        _mm512_storeu_ps(top + r * kOuterColumns, sum[r][0]);
        _mm512_storeu_ps(top + r * kOuterColumns + 16, sum[r][1]);
      }
    } else {
      const Target to = target_of(t, step.node);
#pragma GCC unroll 12
      for (int r = 0; r < Rows; ++r) store_avx512(to, r, sum[r][0], sum[r][1]);
    }
  }
}

}  // namespace

void sum_outer_products_avx2(const OuterProducts& tile) {
  static constexpr auto kByRows = []<size_t... I>(std::index_sequence<I...>) {
    return std::array{sum_part_avx2<static_cast<int>(I) + 1>...};
  }
  (std::make_index_sequence<kPartRows>());
  for (int64_t row = 0; row < tile.rows; row += kPartRows)
    for (int64_t column = 0; column < tile.columns; column += kPartColumns)
      kByRows[static_cast<size_t>(std::min(kPartRows, tile.rows - row)) - 1](tile, row, column);
}

namespace {

template <class Multiply>
void sum_by_rows_avx512(const OuterProducts& tile) {
  static constexpr auto kByRows = []<size_t... I>(std::index_sequence<I...>) {
    return std::array{sum_avx512<Multiply, static_cast<int>(I) + 1>...};
  }
  (std::make_index_sequence<kOuterRows>());
  kByRows[static_cast<size_t>(tile.rows) - 1](tile);
}

}  // namespace

void sum_outer_products_avx512(const OuterProducts& tile) {
  sum_by_rows_avx512<Products>(tile);
}

void sum_outer_pairs_avx512_bf16(const OuterProducts& tile) {
  sum_by_rows_avx512<PairsOfProducts>(tile);
}

}  // namespace switchyard
