// Barriers in shared memory, bulk copies and warpgroup products.
#include "kernels/cuda/hopper.h"

#include "fixture.h"
#include "kernels/cuda/shared.h"
#include "kernels/cuda/warpgroup_product.h"

namespace switchyard {
namespace {

using namespace test;
using cuda::SharedMemory;

class EmulatedHopperTest : public EmulatorTest {};
INSTANTIATE_TEST_SUITE_P(Schedules, EmulatedHopperTest, kSchedules);

constexpr int kRounds = 5;

/// A warp passes numbers to another through one place: round r's are r, and what the reader saw is written out.
__global__ void pass_on(int* seen) {
  SharedMemory shared;
  const auto place = shared.take<int>(32);
  const auto full = shared.take<uint64_t>(1), empty = shared.take<uint64_t>(1);
  if (thread() == 0) {
    cuda::init_phases(full.address(0), 32);
    cuda::init_phases(empty.address(0), 32);
    cuda::publish_phases();
  }
  __syncthreads();
  for (int r = 0; r < kRounds; ++r) {
    const uint32_t parity = static_cast<uint32_t>(r) % 2;
    if (thread() < 32) {
      cuda::wait_for_phase(empty.address(0), parity ^ 1);
      place[thread()] = r;
      cuda::arrive(full.address(0));
    } else {
      cuda::wait_for_phase(full.address(0), parity);
      seen[r * 32 + thread() - 32] = place[63 - thread()];
      cuda::arrive(empty.address(0));
    }
  }
}

TEST_P(EmulatedHopperTest, PhasesOrderWarps) {
  std::vector<int> seen(kRounds * 32, -1);
  launch({1, 64, 512}, pass_on, seen.data());
  for (size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], static_cast<int>(i / 32)) << i;
}

/// Bytes that come to `bytes` shared ones; the phase ends with the arrival and the copy, whichever is last.
__global__ void copy_in(const BFloat16* from, bool arrive_first, BFloat16* out) {
  SharedMemory shared;
  const auto place = shared.take<BFloat16>(64);
  const auto barrier = shared.take<uint64_t>(1);
  constexpr int kBytes = 64 * sizeof(BFloat16);
  if (thread() == 0) cuda::init_phases(barrier.address(0), arrive_first ? 1 : 2);
  __syncthreads();
  if (thread() == 0) {
    cuda::arrive_expecting(barrier.address(0), kBytes);
    cuda::copy_bulk(place.address(0), from, kBytes, barrier.address(0));
    if (!arrive_first) cuda::arrive(barrier.address(0));
  }
  cuda::wait_for_phase(barrier.address(0), 0);
  const BFloat16 value = place[thread()];
  out[thread()] = value;
}

TEST_P(EmulatedHopperTest, BulkCopiesEndPhases) {
  std::vector<BFloat16> from(64), out(64);
  for (size_t i = 0; i < 64; ++i) from[i].bits = static_cast<uint16_t>(100 + i);
  const OnDevice<BFloat16> there(from);
  for (const bool arrive_first : {false, true}) {
    launch({1, 64, 512}, copy_in, there.data(), arrive_first, out.data());
    for (size_t i = 0; i < 64; ++i) EXPECT_EQ(out[i].bits, from[i].bits);
  }
  EXPECT_TRUE(fails_with({"not in memory of the device"}, 64, 512, copy_in, from.data(), true, out.data()));
}

/// d [64, n] = a [64, 64] bᵀ, b [n, 64]: a warpgroup beside a warp that meets it at a named barrier.
template <int kN>
__global__ void product(const BFloat16* a, const BFloat16* b, float* d) {
  SharedMemory shared;
  const auto left = shared.take<BFloat16>(64 * 64), right = shared.take<BFloat16>(kN * 64);
  const auto barrier = shared.take<uint64_t>(1);
  if (thread() == 0) cuda::init_phases(barrier.address(0), 1);
  __syncthreads();
  if (thread() >= 128) {
    for (int i = thread() - 128; i < 64 * 64; i += 32) left[cuda::slab_offset(i / 64, i % 64 / 8) + i % 8] = a[i];
    for (int i = thread() - 128; i < kN * 64; i += 32) right[cuda::slab_offset(i / 64, i % 64 / 8) + i % 8] = b[i];
    cuda::fence_for_products();
    cuda::named_barrier(3, 160);
    return;
  }
  cuda::named_barrier(3, 160);
  cuda::WarpgroupSums sums = {};
  cuda::fence_products();
  for (int step = 0; step < 4; ++step) cuda::multiply_slabs<kN>(sums, left.address(0), right.address(0), step);
  cuda::commit_products();
  cuda::wait_for_products<0>();
  const int row = thread() / 32 * 16 + thread() % 32 / 4, column = thread() % 4 * 2;
  for (int j = 0; j < kN / 8; ++j)
    for (int i = 0; i < 4; ++i) d[(row + i / 2 * 8) * kN + j * 8 + column + i % 2] = sums[4 * j + i];
}

template <int kN>
std::vector<float> product_of(const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<float> d(64 * kN);
  for (size_t row = 0; row < 64; ++row)
    for (size_t column = 0; column < kN; ++column)
      for (size_t k = 0; k < 64; ++k) d[row * kN + column] += a[row * 64 + k] * b[column * 64 + k];
  return d;
}

/// Small integers, whose products are exact.
std::vector<float> integers(size_t count, int seed) {
  std::vector<float> result(count);
  for (size_t i = 0; i < count; ++i)
    result[i] = static_cast<float>((static_cast<int>(i) * (seed + 7) + static_cast<int>(i / 5)) % 11 - 4);
  return result;
}

std::vector<BFloat16> rounded(const std::vector<float>& values) {
  std::vector<BFloat16> result;
  for (const float value : values) result.push_back(to_bfloat16(value));
  return result;
}

TEST_P(EmulatedHopperTest, WarpgroupProducts) {
  const std::vector<float> a = integers(64 * 64, 1), b = integers(32 * 64, 2);
  const std::vector<BFloat16> left = rounded(a), right = rounded(b);
  const size_t shared = (64 + 32) * 64 * sizeof(BFloat16) + 128;
  std::vector<float> d(64 * 32), narrow(64 * 8);
  launch({1, 160, shared}, product<32>, left.data(), right.data(), d.data());
  EXPECT_EQ(d, product_of<32>(a, b));
  launch({1, 160, shared}, product<8>, left.data(), right.data(), narrow.data());
  EXPECT_EQ(narrow, product_of<8>(a, b));
}

/// Two matrices of 8 × 8, as lanes have them, come to rows that are their columns.
__global__ void store(uint32_t* out) {
  SharedMemory shared;
  const auto rows = shared.take<BFloat16>(2 * 64);
  const int lane = thread(), g = lane / 4, t = lane % 4;
  const auto value = [](int matrix, int row, int column) {
    return static_cast<uint32_t>(matrix * 100 + row * 10 + column);
  };
  const auto pair = [&](int matrix) { return value(matrix, g, 2 * t) | value(matrix, g, 2 * t + 1) << 16; };
  cuda::store_matrix_x2_transposed(rows.address(lane % 16 * 8), pair(0), pair(1));
  __syncthreads();
  for (int i = lane; i < 128; i += 32) {
    const BFloat16 element = rows[i];
    out[i] = element.bits;
  }
}

TEST_P(EmulatedHopperTest, MatricesToSharedMemory) {
  std::vector<uint32_t> out(128);
  launch({1, 32, 256}, store, out.data());
  for (size_t i = 0; i < 128; ++i) EXPECT_EQ(out[i], i / 64 * 100 + i % 8 * 10 + i % 64 / 8) << i;
}

__global__ void nobody_comes() {
  SharedMemory shared;
  const auto barrier = shared.take<uint64_t>(2);
  if (thread() == 0) cuda::init_phases(barrier.address(0), 33);
  __syncthreads();
  cuda::arrive(barrier.address(0));
  cuda::wait_for_phase(barrier.address(0), 0);
}

__global__ void never_made() {
  SharedMemory shared;
  cuda::arrive(shared.take<uint64_t>(1).address(0));
}

__global__ void twice() {
  SharedMemory shared;
  const auto barrier = shared.take<uint64_t>(1);
  if (thread() == 0) cuda::init_phases(barrier.address(0), 40);
  __syncthreads();
  for (int i = 0; i < 2; ++i) cuda::arrive(barrier.address(0));
  cuda::arrive_expecting(barrier.address(0), 16);  // bytes are missing: the phase does not end
}

TEST_P(EmulatedHopperTest, WhatCannotEndIsNamed) {
  EXPECT_TRUE(fails_with({"a phase of a barrier in shared memory"}, 32, 128, nobody_comes));
  EXPECT_TRUE(fails_with({"not initialised"}, 32, 128, never_made));
  EXPECT_TRUE(fails_with({"more than 40 arrivals"}, 32, 128, twice));
}

}  // namespace
}  // namespace switchyard
