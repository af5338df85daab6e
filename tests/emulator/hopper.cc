#include "emulator/hopper.h"

#include <immintrin.h>

#include <atomic>
#include <cstring>

#include "devices.h"
#include "engine.h"
#include "kernels/cuda/slab.h"

namespace switchyard::emulator {
namespace {

std::atomic<bool> widths_broken{false};

struct Product {
  float* d;
  const BFloat16 *a, *b;
  int n, step, warp;
};

BFloat16 element(const BFloat16* slab, int row, int column) {
  return slab[cuda::slab_offset(row, column / cuda::kSlabChunk) + column % cuda::kSlabChunk];
}

/// The warp's 16 rows; see kernels/cuda/warpgroup_product.h for the layouts.
void complete_product(void* const* lanes, unsigned) {
  const auto& all = *static_cast<const Product*>(lanes[0]);
  const int first_row = all.warp % 4 * 16, first_column = all.step * 16;
  float a[16][16];
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 16; ++k) a[row][k] = to_float(element(all.a, first_row + row, first_column + k));
  const auto element_of = [&](int row, int column, int block) -> float& {
    const int lane = row % 8 * 4 + column / 2;
    return static_cast<const Product*>(lanes[lane])->d[block * 4 + row / 8 * 2 + column % 2];
  };
  for (int block = 0; block < all.n / 8; ++block) {
    alignas(32) float b[16][8], d[8];
    for (int column = 0; column < 8; ++column)
      for (int k = 0; k < 16; ++k) b[k][column] = to_float(element(all.b, block * 8 + column, first_column + k));
    for (int row = 0; row < 16; ++row) {
      for (int column = 0; column < 8; ++column) d[column] = element_of(row, column, block);
      __m256 sums = _mm256_load_ps(d);
      if (widths_broken && all.n < 256) sums = _mm256_mul_ps(sums, _mm256_set1_ps(1 + 0x1p-20f));
      for (int k = 0; k < 16; ++k) sums = _mm256_fmadd_ps(_mm256_set1_ps(a[row][k]), _mm256_load_ps(b[k]), sums);
      _mm256_store_ps(d, sums);
      for (int column = 0; column < 8; ++column) element_of(row, column, block) = d[column];
    }
  }
}

struct MatrixStore {
  BFloat16* row;
  uint32_t pairs[2];
};

void complete_store(void* const* lanes, unsigned) {
  for (int m = 0; m < 2; ++m)
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4, t = lane % 4;
      const uint32_t pair = static_cast<const MatrixStore*>(lanes[lane])->pairs[m];
      for (int i = 0; i < 2; ++i)
        static_cast<const MatrixStore*>(lanes[8 * m + 2 * t + i])->row[g].bits = static_cast<uint16_t>(pair >> 16 * i);
    }
}

}  // namespace

void init_phases(uint64_t* barrier, int count) {
  Engine::get().init_phases(barrier, count);
}
void arrive(uint64_t* barrier, int bytes) {
  Engine::get().arrive(barrier, 1, bytes);
}
void wait_for_phase(uint64_t* barrier, uint32_t parity, Place place) {
  Engine::get().wait_for_phase(barrier, parity, place);
}
void named_barrier(int id, int threads, Place place) {
  Engine::get().named_barrier(id, threads, place);
}

void copy_bulk(void* to, const void* from, int bytes, uint64_t* barrier) {
  Engine& engine = Engine::get();
  engine.shared_access(to, static_cast<unsigned>(bytes), 16, Access::write);
  if (bytes % 16 != 0 || reinterpret_cast<uintptr_t>(from) % 16 != 0)
    fail_in_kernel("a bulk copy that is not of whole chunks of 16 bytes");
  if (!is_device_memory(from, static_cast<size_t>(bytes)))
    fail_in_kernel("a bulk copy from what is not in memory of the device");
  std::memcpy(to, from, static_cast<size_t>(bytes));
  engine.arrive(barrier, 0, -bytes);
}

void store_matrix_x2_transposed(BFloat16* row, uint32_t first, uint32_t second, Place place) {
  Engine& engine = Engine::get();
  if (lane() < 16) engine.shared_access(row, 16, 16, Access::write);
  MatrixStore store{row, {first, second}};
  engine.warp_operation(Wait::store_matrix, 0xffffffffu, &store, complete_store, place);
}

void wgmma_m64k16_bf16(float* d, int n, const BFloat16* a, const BFloat16* b, int step, Place place) {
  Engine& engine = Engine::get();
  engine.shared_access(a, 64 * 128, 1024, Access::read);
  engine.shared_access(b, static_cast<unsigned>(n) * 128, 1024, Access::read);
  Product product{d, a, b, n, step, static_cast<int>(threadIdx.x / 32)};
  engine.warp_operation(Wait::mma, 0xffffffffu, &product, complete_product, place);
}

void break_wgmma_widths(bool broken) {
  widths_broken = broken;
}

}  // namespace switchyard::emulator
