// Fragments of mma and ldmatrix against plain products of integers, which are exact.
#include "kernels/cuda/tensor_core.h"

#include "fixture.h"
#include "kernels/cuda/shared.h"

namespace switchyard {
namespace {

using namespace test;
using cuda::SharedMemory;

class EmulatedTensorCoreTest : public EmulatorTest {};
INSTANTIATE_TEST_SUITE_P(Schedules, EmulatedTensorCoreTest, kSchedules);

std::vector<BFloat16> integers(size_t count, int seed) {
  std::vector<BFloat16> result(count);
  for (size_t i = 0; i < count; ++i)
    result[i] = to_bfloat16(static_cast<float>((static_cast<int>(i) * (seed + 7) + static_cast<int>(i) / 5) % 11 - 4));
  return result;
}

uint32_t pair(const BFloat16* at, int stride) {
  return uint32_t{at[0].bits} | uint32_t{at[stride].bits} << 16;
}

/// d [16, 8] = c + a [16, 16] b [16, 8], the fragments taken element by element as the PTX manual has them.
__global__ void product(const BFloat16* a, const BFloat16* b, const float* c, float* d) {
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  const uint32_t left[4] = {pair(a + g * 16 + 2 * t, 1), pair(a + (g + 8) * 16 + 2 * t, 1),
                            pair(a + g * 16 + 2 * t + 8, 1), pair(a + (g + 8) * 16 + 2 * t + 8, 1)};
  const uint32_t right[2] = {pair(b + 2 * t * 8 + g, 8), pair(b + (2 * t + 8) * 8 + g, 8)};
  const int at[4] = {g * 8 + 2 * t, g * 8 + 2 * t + 1, (g + 8) * 8 + 2 * t, (g + 8) * 8 + 2 * t + 1};
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = c[at[i]];
  cuda::mma_bf16(sums, left, right);
  for (int i = 0; i < 4; ++i) d[at[i]] = sums[i];
}

TEST_P(EmulatedTensorCoreTest, AProductOfFragments) {
  const std::vector<BFloat16> a = integers(16 * 16, 1), b = integers(16 * 8, 2);
  std::vector<float> c(16 * 8), d(16 * 8);
  for (size_t i = 0; i < c.size(); ++i) c[i] = static_cast<float>(i);
  launch({1, 32}, product, a.data(), b.data(), c.data(), d.data());
  for (size_t row = 0; row < 16; ++row)
    for (size_t column = 0; column < 8; ++column) {
      float sum = c[row * 8 + column];
      for (size_t k = 0; k < 16; ++k) sum += to_float(a[row * 16 + k]) * to_float(b[k * 8 + column]);
      EXPECT_EQ(d[row * 8 + column], sum) << row << ", " << column;
    }
}

/// Four matrices, row by row, as lanes' registers.
__global__ void load(const BFloat16* from, bool transposed, uint32_t* out) {
  SharedMemory shared;
  const auto rows = shared.take<BFloat16>(4 * 64);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = 0; i < 8; ++i) rows[8 * lane + i] = from[8 * lane + i];
  __syncthreads();
  uint32_t r[4];
  if (transposed) {
    cuda::load_matrix_x4_transposed(r, rows.address(8 * lane));
  } else {
    cuda::load_matrix_x4(r, rows.address(8 * lane));
  }
  for (int i = 0; i < 4; ++i) out[4 * lane + i] = r[i];
}

TEST_P(EmulatedTensorCoreTest, MatricesFromSharedMemory) {
  std::vector<BFloat16> from(4 * 64);
  for (size_t i = 0; i < from.size(); ++i) from[i].bits = static_cast<uint16_t>(1000 + i);
  std::vector<uint32_t> out(4 * 32);
  for (const bool transposed : {false, true}) {
    launch({1, 32, 512}, load, from.data(), transposed, out.data());
    for (size_t lane = 0; lane < 32; ++lane)
      for (size_t m = 0; m < 4; ++m) {
        const size_t g = lane / 4, t = lane % 4;
        const BFloat16* matrix = from.data() + 64 * m;
        const uint32_t want = transposed ? pair(matrix + 2 * t * 8 + g, 8) : pair(matrix + g * 8 + 2 * t, 1);
        EXPECT_EQ(out[4 * lane + m], want) << transposed << ": lane " << lane << ", matrix " << m;
      }
  }
}

/// d [16, 8] = a bᵀ with b [8, 16], by ldmatrix, as kernels do.
__global__ void product_from_shared(const BFloat16* a, const BFloat16* b, float* d) {
  SharedMemory shared;
  const auto left = shared.take<BFloat16>(256), right = shared.take<BFloat16>(256);
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  for (int i = lane; i < 256; i += 32) {
    left[i] = a[i];
    right[i] = i < 128 ? b[i] : BFloat16{};
  }
  __syncthreads();
  uint32_t x[4], y[4];
  cuda::load_matrix_x4(x, left.address(lane % 16 * 16 + lane / 16 * 8));
  cuda::load_matrix_x4(y, right.address((lane / 16 * 8 + lane % 8) * 16 + lane / 8 % 2 * 8));
  float sums[4] = {};
  cuda::mma_bf16(sums, x, {y[0], y[1]});
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
}

TEST_P(EmulatedTensorCoreTest, LoadsFitProducts) {
  const std::vector<BFloat16> a = integers(16 * 16, 3), b = integers(8 * 16, 4);
  std::vector<float> d(16 * 8);
  launch({1, 32, 1024}, product_from_shared, a.data(), b.data(), d.data());
  for (size_t row = 0; row < 16; ++row)
    for (size_t column = 0; column < 8; ++column) {
      float sum = 0;
      for (size_t k = 0; k < 16; ++k) sum += to_float(a[row * 16 + k]) * to_float(b[column * 16 + k]);
      EXPECT_EQ(d[row * 8 + column], sum) << row << ", " << column;
    }
}

__global__ void half_a_warp() {
  float d[4] = {};
  if (threadIdx.x < 16) cuda::mma_bf16(d, {}, {});
  __syncthreads();
}

TEST_P(EmulatedTensorCoreTest, AllLanesTakePart) {
  EXPECT_TRUE(fails_with({"waits in mma", "for 16 others"}, 32, 0, half_a_warp));
}

}  // namespace
}  // namespace switchyard
