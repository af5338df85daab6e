#include "emulator/tensor_core.h"

#include <immintrin.h>

#include <cstring>

#include "engine.h"

namespace switchyard::emulator {
namespace {

struct Product {
  float* d;
  const uint32_t *a, *b;
};

float low(uint32_t pair) {
  return to_float(BFloat16{static_cast<uint16_t>(pair)});
}
float high(uint32_t pair) {
  return to_float(BFloat16{static_cast<uint16_t>(pair >> 16)});
}

/// Fragments to matrices, the product, and back. Lane 4·g + t; see kernels/cuda/tensor_core.h for the layouts.
void complete_product(void* const* lanes, unsigned) {
  alignas(32) float a[16][16], b[16][8], d[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& mine = *static_cast<const Product*>(lanes[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const int row = g + (i % 2) * 8, k = 2 * t + (i / 2) * 8;
      a[row][k] = low(mine.a[i]);
      a[row][k + 1] = high(mine.a[i]);
    }
    for (int i = 0; i < 2; ++i) {
      const int k = 2 * t + i * 8;
      b[k][g] = low(mine.b[i]);
      b[k + 1][g] = high(mine.b[i]);
    }
    for (int i = 0; i < 4; ++i) d[g + (i / 2) * 8][2 * t + i % 2] = mine.d[i];
  }
  for (int row = 0; row < 16; ++row) {
    __m256 sums = _mm256_load_ps(d[row]);
    for (int k = 0; k < 16; ++k) sums = _mm256_fmadd_ps(_mm256_set1_ps(a[row][k]), _mm256_load_ps(b[k]), sums);
    _mm256_store_ps(d[row], sums);
  }
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) static_cast<Product*>(lanes[lane])->d[i] = d[g + (i / 2) * 8][2 * t + i % 2];
  }
}

struct MatrixLoad {
  uint32_t* r;
  const BFloat16* row;
};

template <int kMatrices, bool kTransposed>
void complete_load(void* const* lanes, unsigned) {
  for (int m = 0; m < kMatrices; ++m) {
    uint16_t matrix[8][8];
    for (int row = 0; row < 8; ++row)
      std::memcpy(matrix[row], static_cast<const MatrixLoad*>(lanes[8 * m + row])->row, 16);
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4, t = lane % 4;
      const uint32_t first = kTransposed ? matrix[2 * t][g] : matrix[g][2 * t];
      const uint32_t second = kTransposed ? matrix[2 * t + 1][g] : matrix[g][2 * t + 1];
      static_cast<const MatrixLoad*>(lanes[lane])->r[m] = first | second << 16;
    }
  }
}

Complete load_of(int num, bool transpose) {
  switch (num) {
    case 1:
      return transpose ? complete_load<1, true> : complete_load<1, false>;
    case 2:
      return transpose ? complete_load<2, true> : complete_load<2, false>;
    case 4:
      return transpose ? complete_load<4, true> : complete_load<4, false>;
    default:
      fail_in_kernel("ldmatrix of other than 1, 2 or 4 matrices");
  }
}

}  // namespace

void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Place place) {
  Product product{d, a, b};
  Engine::get().warp_operation(Wait::mma, 0xffffffffu, &product, complete_product, place);
}

void ldmatrix(uint32_t* r, int num, const BFloat16* row, bool transpose, Place place) {
  Engine& engine = Engine::get();
  // Only the first 8·num lanes' addresses are used.
  if (lane() < 8 * num) engine.shared_access(row, 16, 16, Access::read);
  MatrixLoad load{r, row};
  engine.warp_operation(Wait::load_matrix, 0xffffffffu, &load, load_of(num, transpose), place);
}

void copy_async(void* to, const void* from, int bytes, bool valid) {
  Engine::get().begin_copy({to, from, bytes, valid, 0});
}

void commit_copies() {
  Engine::get().commit_copies();
}

void wait_for_copies(int groups) {
  Engine::get().wait_for_copies(groups);
}

}  // namespace switchyard::emulator
