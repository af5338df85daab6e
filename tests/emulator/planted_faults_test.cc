// Three faults of the kind that code has which never ran on a GPU. Each kernel is right or wrong by one word; the right
// one passes under every schedule, the wrong one is caught.
#include "fixture.h"
#include "kernels/cuda/shared.h"
#include "kernels/cuda/tensor_core.h"
#include "kernels/cuda/warp.h"

namespace switchyard {
namespace {

using namespace test;
using cuda::SharedMemory;

class PlantedFaultsTest : public EmulatorTest {};
INSTANTIATE_TEST_SUITE_P(Schedules, PlantedFaultsTest, kSchedules);

/// Sums over a block, twice with the same memory.
template <bool kBarrierBetween>
__global__ void sum_twice(float* out) {
  SharedMemory shared;
  const auto partial = shared.take<float>(4);
  for (int round = 0; round < 2; ++round) {
    const float warp = cuda::warp_sum(static_cast<float>(thread() + round));
    if (thread() % 32 == 0) partial[thread() / 32] = warp;
    __syncthreads();
    float sum = 0;
    for (int w = 0; w < 4; ++w) sum += partial[w];
    if (kBarrierBetween) __syncthreads();
    out[round * 128 + thread()] = sum;
  }
}

TEST_P(PlantedFaultsTest, MissingBarrier) {
  std::vector<float> out(256);
  launch({1, 128, 16}, sum_twice<true>, out.data());
  for (size_t t = 0; t < 256; ++t) EXPECT_EQ(out[t], t < 128 ? 8128.0f : 8256.0f);
  EXPECT_TRUE(fails_with({"race", "no barrier between"}, 128, 16, sum_twice<false>, out.data()));
}

/// y [16, 8] = x [16, 16] wᵀ.
template <bool kSwapped>
__global__ void small_product(const BFloat16* x, const BFloat16* w, float* y) {
  const int g = thread() / 4, t = thread() % 4;
  const auto pair = [](const BFloat16* at) { return uint32_t{at[0].bits} | uint32_t{at[1].bits} << 16; };
  const uint32_t low = pair(x + (g + 8) * 16 + 2 * t), high = pair(x + g * 16 + 2 * t + 8);
  const uint32_t a[4] = {pair(x + g * 16 + 2 * t), kSwapped ? high : low, kSwapped ? low : high,
                         pair(x + (g + 8) * 16 + 2 * t + 8)};
  float d[4] = {};
  cuda::mma_bf16(d, a, {pair(w + g * 16 + 2 * t), pair(w + g * 16 + 2 * t + 8)});
  for (int i = 0; i < 4; ++i) y[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}

TEST_P(PlantedFaultsTest, WrongFragmentIndex) {
  const Tensor x = random_tensor({16, 16}, DType::bf16, 1), w = random_tensor({8, 16}, DType::bf16, 2);
  const Tensor y({16, 8}, DType::f32);
  std::vector<reference::Bounded> want;
  for (int64_t row = 0; row < 16; ++row)
    for (int64_t column = 0; column < 8; ++column) {
      double sum = 0, magnitude = 0;
      for (int64_t k = 0; k < 16; ++k) {
        sum += x.at(row * 16 + k) * w.at(column * 16 + k);
        magnitude += std::abs(x.at(row * 16 + k) * w.at(column * 16 + k));
      }
      want.push_back({sum, 16 * 0x1p-24 * magnitude});
    }
  launch({1, 32}, small_product<false>, x.data<BFloat16>(), w.data<BFloat16>(), y.data<float>());
  EXPECT_TRUE(close(y, want));
  launch({1, 32}, small_product<true>, x.data<BFloat16>(), w.data<BFloat16>(), y.data<float>());
  EXPECT_FALSE(close(y, want));
}

/// Rows of 4 by index, through shared memory. The wrong one takes a whole block's rows from the last block too.
template <bool kGuarded>
__global__ void gather(const float* from, const int* index, int rows, float* out) {
  SharedMemory shared;
  const auto tile = shared.take<float>(32 * 4);
  const int row = static_cast<int>(blockIdx.x) * 32 + thread();
  const bool valid = !kGuarded || row < rows;
  const int source = row < rows ? index[row] : rows;
  cuda::copy_async_16(tile.address(4 * thread()), from + 4 * (valid ? source : 0), valid);
  cuda::commit_copies();
  cuda::wait_for_copies<0>();
  if (row < rows) *reinterpret_cast<float4*>(out + 4 * row) = tile.load<float4>(4 * thread());
}

/// The same without shared memory.
template <bool kGuarded>
__global__ void gather_directly(const float* from, const int* index, int rows, float* out) {
  const int row = static_cast<int>(blockIdx.x) * 32 + thread();
  if (kGuarded && row >= rows) return;
  const int source = row < rows ? index[row] : 2 * rows;
  for (int i = 0; i < 4; ++i) out[4 * std::min(row, rows - 1) + i] = from[4 * source + i];
}

/// A row of a tile in shared memory that has one row fewer than the kernel thinks.
template <int kRows>
__global__ void fill_tile() {
  SharedMemory shared;
  const auto tile = shared.take<float>(31 * 4);
  if (thread() < kRows) tile.store<float4>(4 * thread(), make_float4(1, 2, 3, 4));
}

TEST_P(PlantedFaultsTest, RowOutOfRange) {
  constexpr int kRows = 70;
  std::vector<float> rows(4 * kRows), want;
  std::vector<int> index(kRows);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<float>(i);
  for (size_t i = 0; i < kRows; ++i) {
    index[i] = static_cast<int>(i * 3 % kRows);
    for (size_t c = 0; c < 4; ++c) want.push_back(rows[4 * static_cast<size_t>(index[i]) + c]);
  }
  const OnDevice<float> from(rows), out(std::vector<float>(4 * kRows));
  const OnDevice<int> indices(index);
  const cuda::LaunchShape shape{3, 32, 512};
  launch(shape, gather<true>, from.data(), indices.data(), kRows, out.data());
  EXPECT_EQ(out.values(), want);
  EXPECT_TRUE(fails(ExitCode::internal, {"block (2, 0, 0)", "not in memory of the device"},
                    [&] { launch(shape, gather<false>, from.data(), indices.data(), kRows, out.data()); }));
  launch(shape, gather_directly<true>, from.data(), indices.data(), kRows, out.data());
  EXPECT_EQ(out.values(), want);
  launch(shape, fill_tile<31>);
  EXPECT_TRUE(fails_with({"thread 31", "elements 124 to 128 of a shared array of 124"}, 32, 512, fill_tile<32>));
}

TEST(PlantedFaultsDeathTest, ReadingBeyondAllAllocationsEndsTheProcess) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const OnDevice<float> from(std::vector<float>(4 * 70)), out(std::vector<float>(4 * 70));
  const OnDevice<int> indices(std::vector<int>(70));
  const TestStream stream(Device::cuda, 1, 0);
  EXPECT_DEATH(cuda::launch(stream, {3, 32}, gather_directly<false>, static_cast<const float*>(from.data()),
                            static_cast<const int*>(indices.data()), 70, out.data()),
               "block \\(2, 0, 0\\), thread 6: touches memory that is not there|AddressSanitizer");
}

}  // namespace
}  // namespace switchyard
