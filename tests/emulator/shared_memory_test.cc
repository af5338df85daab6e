// Shared memory: bounds, alignment, races, asynchronous copies.
#include "fixture.h"
#include "kernels/cuda/shared.h"
#include "kernels/cuda/tensor_core.h"
#include "kernels/cuda/warp.h"

namespace switchyard {
namespace {

using namespace test;
using cuda::kAllLanes;
using cuda::SharedMemory;

class EmulatedSharedMemoryTest : public EmulatorTest {};
INSTANTIATE_TEST_SUITE_P(Schedules, EmulatedSharedMemoryTest, kSchedules);

__global__ void beyond_array(int index) {
  SharedMemory shared;
  shared.take<float>(8);
  const auto second = shared.take<float>(8);
  if (thread() == 3) second[index] = 1;
}
__global__ void beyond_memory() {
  SharedMemory shared;
  const auto a = shared.take<float>(64);  // more than the launch has
  a[60] = 1;
}
__global__ void misaligned() {
  SharedMemory shared;
  const auto a = shared.take<float>(32);
  a.load<float4>(2);
}

TEST_P(EmulatedSharedMemoryTest, BoundsAndAlignment) {
  EXPECT_TRUE(fails_with({"thread 3", "elements 8 to 9 of a shared array of 8"}, 32, 256, beyond_array, 8));
  EXPECT_TRUE(fails_with({"elements -1 to 0 of a shared array of 8"}, 32, 256, beyond_array, -1));
  EXPECT_TRUE(fails_with({"writes bytes 240 to 244 of shared memory, which has 128"}, 32, 128, beyond_memory));
  EXPECT_TRUE(fails_with({"reads 16 bytes at byte 8", "not aligned to 16"}, 32, 128, misaligned));
  launch({1, 32, 256}, beyond_array, 7);
}

__global__ void fresh(float* out) {
  SharedMemory shared;
  const auto a = shared.take<float>(1);
  out[blockIdx.x] = a[0];
  a[0] = 5;
}

TEST_P(EmulatedSharedMemoryTest, ABlockFindsNansInSharedMemory) {
  std::vector<float> out(4);
  launch({4, 1, 4}, fresh, out.data());
  for (const float x : out) EXPECT_TRUE(std::isnan(x));
}

enum class Order { none, warp, part_of_warp, block };

/// Thread `from` accesses one place, then, ordered or not, thread `to` does.
__global__ void two_accesses(int from, int to, bool first_writes, bool second_writes, Order order) {
  SharedMemory shared;
  const auto a = shared.take<BFloat16>(2);
  const auto access = [&](bool writes) {
    if (writes) {
      a[1] = BFloat16{};
    } else {
      static_cast<void>(static_cast<BFloat16>(a[1]));
    }
  };
  if (thread() == from) access(first_writes);
  if (order == Order::block) __syncthreads();
  if (order == Order::warp) __syncwarp();
  if (order == Order::part_of_warp && thread() < 8) __syncwarp(0xff);
  __shfl_sync(kAllLanes, 1, 0);  // orders no memory
  if (thread() == to) access(second_writes);
  if (thread() == 40) a[0] = BFloat16{};  // beside it
}

TEST_P(EmulatedSharedMemoryTest, RacesAreFound) {
  for (const bool first : {false, true}) {
    for (const bool second : {false, true}) {
      const auto run = [&](int from, int to, Order order) {
        launch({1, 64, 4}, two_accesses, from, to, first, second, order);
      };
      const auto race = [&](int from, int to, Order order) {
        return first || second
                   ? fails(ExitCode::internal, {"race at byte 2", "no barrier between"}, [&] { run(from, to, order); })
                   : (run(from, to, order), testing::AssertionSuccess());
      };
      EXPECT_TRUE(race(2, 3, Order::none));
      EXPECT_TRUE(race(2, 33, Order::none));
      EXPECT_TRUE(race(2, 33, Order::warp));
      EXPECT_TRUE(race(2, 9, Order::part_of_warp));
      run(2, 3, Order::warp);
      run(2, 3, Order::part_of_warp);
      run(2, 33, Order::block);
      run(2, 2, Order::none);
      emulator::set_race_check(false);
      run(2, 33, Order::none);
      emulator::set_race_check(true);
    }
  }
}

/// A chain of partial __syncwarps: 0 -> 1 -> 2; 3 is outside.
__global__ void chain(int reader) {
  SharedMemory shared;
  const auto a = shared.take<int>(1);
  if (thread() == 0) a[0] = 1;
  if (thread() <= 1) __syncwarp(0b11);
  if (thread() == 1 || thread() == 2) __syncwarp(0b110);
  if (thread() == reader) static_cast<void>(static_cast<int>(a[0]));
}

TEST_P(EmulatedSharedMemoryTest, OrderIsTransitive) {
  launch({1, 4, 4}, chain, 1);
  launch({1, 4, 4}, chain, 2);
  EXPECT_TRUE(fails_with({"race", "thread 0"}, 4, 4, chain, 3));
}

/// Two stages of copies; the kernel reads the first after waiting until `pending` groups are under way.
template <int kPending>
__global__ void pipeline(const float* from, float* out) {
  SharedMemory shared;
  const auto stage = shared.take<float>(2 * 32);
  for (int s = 0; s < 2; ++s) {
    if (thread() < 8)
      cuda::copy_async_16(stage.address(32 * s + 4 * thread()), from + 32 * s + 4 * thread(), thread() != 7);
    cuda::commit_copies();
  }
  cuda::wait_for_copies<kPending>();
  __syncthreads();
  out[thread()] = stage[thread()];
  cuda::wait_for_copies<0>();
  __syncthreads();
  out[32 + thread()] = stage[32 + thread()];
}

TEST_P(EmulatedSharedMemoryTest, AsynchronousCopiesArriveWhenWaitedFor) {
  std::vector<float> in(64);
  for (size_t i = 0; i < 64; ++i) in[i] = static_cast<float>(i);
  const OnDevice<float> from(in), out(std::vector<float>(64));
  launch({1, 32, 256}, pipeline<1>, from.data(), out.data());
  std::vector<float> got = out.values();
  for (size_t i = 0; i < 64; ++i) EXPECT_EQ(got[i], i % 32 < 28 ? static_cast<float>(i) : 0.0f);

  EXPECT_TRUE(fails_with({"asynchronous copy", "not waited for"}, 32, 256, pipeline<2>, from.data(), out.data()));
  // Also without that check the missing wait shows: nothing has come yet.
  emulator::set_race_check(false);
  launch({1, 32, 256}, pipeline<2>, from.data(), out.data());
  got = out.values();
  EXPECT_TRUE(std::isnan(got[0]));
  EXPECT_EQ(got[32], 32);
}

__global__ void copy_from(const float* from, int offset) {
  SharedMemory shared;
  const auto a = shared.take<float>(64);
  cuda::copy_async_16(a.address(4 * thread()) + offset, from + 4 * thread(), true);
}

TEST_P(EmulatedSharedMemoryTest, AsynchronousCopiesStayInTheirAllocations) {
  const OnDevice<float> from(std::vector<float>(32));
  launch({1, 8, 256}, copy_from, from.data(), 0);
  EXPECT_TRUE(fails_with({"thread 8", "not in memory of the device"}, 9, 256, copy_from, from.data(), 0));
  EXPECT_TRUE(fails_with({"not aligned to 16"}, 1, 256, copy_from, from.data() + 1, 0));
  EXPECT_TRUE(fails_with({"not aligned to 16"}, 1, 256, copy_from, from.data(), 2));
  const std::vector<float> host(32);
  EXPECT_TRUE(fails_with({"not in memory of the device"}, 1, 256, copy_from, host.data(), 0));
}

}  // namespace
}  // namespace switchyard
