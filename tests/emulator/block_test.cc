// Threads, barriers and warps: the emulator does what CUDA defines, and says no to what CUDA leaves undefined.
#include <numeric>
#include <thread>

#include "fixture.h"
#include "kernels/cuda/warp.h"

namespace switchyard {
namespace {

using namespace test;
using cuda::kAllLanes;

class EmulatedBlockTest : public EmulatorTest {};
INSTANTIATE_TEST_SUITE_P(Schedules, EmulatedBlockTest, kSchedules);

int thread() {
  return static_cast<int>(threadIdx.x);
}

__global__ void number_threads(int* out) {
  out[(blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x * blockDim.x + blockIdx.x * blockDim.x + threadIdx.x] +=
      static_cast<int>(threadIdx.x + 1000 * blockIdx.x + 100000 * blockIdx.y + 1000000 * blockIdx.z);
}

TEST_P(EmulatedBlockTest, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<int> out(3 * 2 * 4 * 40, 0);
  launch({dim3(4, 2, 3), 40}, number_threads, out.data());
  for (int z = 0, i = 0; z < 3; ++z)
    for (int y = 0; y < 2; ++y)
      for (int x = 0; x < 4; ++x)
        for (int t = 0; t < 40; ++t, ++i)
          EXPECT_EQ(out[static_cast<size_t>(i)], t + 1000 * x + 100000 * y + 1000000 * z);
}

__global__ void reverse(const int* in, int* out) {
  cuda::SharedMemory shared;
  const auto values = shared.take<int>(static_cast<int>(blockDim.x));
  const int t = thread(), n = static_cast<int>(blockDim.x);
  values[t] = in[t];
  __syncthreads();
  out[t] = values[n - 1 - t];
}

TEST_P(EmulatedBlockTest, ABarrierOrdersSharedMemory) {
  std::vector<int> in(1000), out(1000);
  std::iota(in.begin(), in.end(), 0);
  launch({1, 1000, 4000}, reverse, in.data(), out.data());
  for (size_t i = 0; i < 1000; ++i) EXPECT_EQ(out[i], 999 - static_cast<int>(i));
}

__global__ void count_in_barriers(int* out) {
  int* mine = out + 4 * thread();
  mine[0] = __syncthreads_count(thread() % 3 == 0);
  mine[1] = __syncthreads_or(thread() == 77);
  mine[2] = __syncthreads_and(thread() != 77);
  mine[3] = __syncthreads_and(thread() >= 0);
}

TEST_P(EmulatedBlockTest, BarriersCount) {
  std::vector<int> out(100 * 4);
  launch({1, 100}, count_in_barriers, out.data());
  for (size_t t = 0; t < 100; ++t)
    EXPECT_EQ((std::vector<int>(out.begin() + 4 * t, out.begin() + 4 * t + 4)), (std::vector<int>{34, 1, 0, 1}));
}

__global__ void shuffles(int* out) {
  const int t = thread();
  int* mine = out + 10 * t;
  mine[0] = __shfl_sync(kAllLanes, t, 5);
  mine[1] = __shfl_sync(kAllLanes, t, 9, 8);
  mine[2] = __shfl_up_sync(kAllLanes, t, 3);
  mine[3] = __shfl_down_sync(kAllLanes, t, 3, 16);
  mine[4] = __shfl_xor_sync(kAllLanes, t, 16);
  mine[5] = static_cast<int>(__shfl_xor_sync(kAllLanes, 1.5f * static_cast<float>(t), 1));
  mine[6] = static_cast<int>(__ballot_sync(kAllLanes, t % 3 == 0));
  mine[7] = __reduce_add_sync(kAllLanes, t);
  mine[8] = __any_sync(kAllLanes, t == 40) + 2 * __all_sync(kAllLanes, t < 32);
  mine[9] = static_cast<int>(__match_any_sync(kAllLanes, t % 5));
}

TEST_P(EmulatedBlockTest, ShufflesAndVotes) {
  std::vector<int> out(64 * 10);
  launch({1, 64}, shuffles, out.data());
  for (int t = 0; t < 64; ++t) {
    const int* mine = out.data() + 10 * t;
    const int lane = t % 32, base = t - lane;
    EXPECT_EQ(mine[0], base + 5);
    EXPECT_EQ(mine[1], t / 8 * 8 + 1);
    EXPECT_EQ(mine[2], lane < 3 ? t : t - 3);
    EXPECT_EQ(mine[3], lane % 16 + 3 < 16 ? t + 3 : t);
    EXPECT_EQ(mine[4], t ^ 16);
    EXPECT_EQ(mine[5], static_cast<int>(1.5f * static_cast<float>(t ^ 1)));
    unsigned thirds = 0, equals = 0;
    for (int l = 0; l < 32; ++l) {
      thirds |= ((base + l) % 3 == 0 ? 1u : 0u) << l;
      equals |= ((base + l) % 5 == t % 5 ? 1u : 0u) << l;
    }
    EXPECT_EQ(static_cast<unsigned>(mine[6]), thirds);
    EXPECT_EQ(mine[7], 32 * base + 496);
    EXPECT_EQ(mine[8], base == 0 ? 2 : 1);
    EXPECT_EQ(static_cast<unsigned>(mine[9]), equals);
  }
}

/// Halves of a warp on ways of their own, of unlike length.
__global__ void diverge(int* out) {
  const bool low = thread() < 16;
  const unsigned mask = low ? 0x0000ffffu : 0xffff0000u;
  int x = thread();
  for (int i = 0; i < (low ? 3 : 5); ++i) x += __shfl_xor_sync(mask, x, 1 << i % 4);
  __syncwarp();
  out[thread()] = x + __shfl_sync(kAllLanes, x, 31);
}

TEST_P(EmulatedBlockTest, LanesDivergeAndMeetAgain) {
  std::vector<int> out(32), x(32);
  launch({1, 32}, diverge, out.data());
  std::iota(x.begin(), x.end(), 0);
  for (int i = 0; i < 5; ++i) {
    const std::vector<int> before = x;
    for (size_t t = i < 3 ? 0 : 16; t < 32; ++t) x[t] += before[t ^ size_t{1} << i % 4];
  }
  for (size_t t = 0; t < 32; ++t) EXPECT_EQ(out[t], x[t] + x[31]);
}

__global__ void early_exit(int* out) {
  if (thread() % 2 == 1) return;
  __syncthreads();
  out[thread()] = __syncthreads_count(1);
}

TEST_P(EmulatedBlockTest, EndedThreadsAreNotWaitedFor) {
  std::vector<int> out(96, -1);
  launch({1, 96}, early_exit, out.data());
  for (size_t t = 0; t < 96; ++t) EXPECT_EQ(out[t], t % 2 == 1 ? -1 : 48);
}

__global__ void count(int* counter, unsigned long long* sum, int* largest, int* out) {
  cuda::SharedMemory shared;
  const auto histogram = shared.take<int>(4);
  if (thread() < 4) histogram[thread()] = 0;
  __syncthreads();
  atomicAdd(&histogram[thread() % 4], 1);
  __syncthreads();
  if (thread() < 4) out[thread()] = histogram[thread()];
  atomicAdd(counter, 1);
  atomicAdd(sum, 1ull << 40);
  atomicMax(largest, thread());
  if (atomicCAS(&out[4], 0, 1) == 0) atomicExch(&out[5], 1);
}

TEST_P(EmulatedBlockTest, Atomics) {
  int counter = 0, largest = 0;
  unsigned long long sum = 0;
  std::vector<int> out(6);
  launch({3, 66, 16}, count, &counter, &sum, &largest, out.data());
  EXPECT_EQ(counter, 198);
  EXPECT_EQ(sum, 198ull << 40);
  EXPECT_EQ(largest, 65);
  EXPECT_EQ(out, (std::vector<int>{17, 17, 16, 16, 1, 1}));
}

TEST(EmulatedBlocks, OsThreadsLaunchSideBySide) {
  std::vector<std::thread> ranks;
  std::vector<int> counters(4, 0);
  for (int rank = 0; rank < 4; ++rank)
    ranks.emplace_back([&, rank] {
      use_device(rank);
      const DeviceStream device(rank);
      ThreadPool pool(1);
      const Stream stream = device.over({Device::cpu, &pool, {}});
      std::vector<int> in(128), out(128);
      std::iota(in.begin(), in.end(), rank);
      for (int i = 0; i < 50; ++i) {
        cuda::launch(stream, {2, 128, 512}, reverse, static_cast<const int*>(in.data()), out.data());
        counters[static_cast<size_t>(rank)] += out[0];
      }
    });
  for (std::thread& rank : ranks) rank.join();
  for (int rank = 0; rank < 4; ++rank) EXPECT_EQ(counters[static_cast<size_t>(rank)], 50 * (127 + rank));
}

// What is wrong, and how it is said.

__global__ void barrier_for_some() {
  if (thread() < 40) __syncthreads();
  __shfl_sync(kAllLanes, 1, 0);
}

TEST_P(EmulatedBlockTest, ABarrierThatNotAllReach) {
  EXPECT_TRUE(fails_with(
      {"block (0, 0, 0)", "no thread can go on", "waits in __syncthreads", "block_test.cc", "for 24 others: 40, 41"},
      64, 0, barrier_for_some));
  // The emulator is as before.
  std::vector<int> in(8), out(8);
  launch({1, 8, 32}, reverse, in.data(), out.data());
}

__global__ void two_barriers() {
  if (thread() < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

TEST_P(EmulatedBlockTest, TwoBarriersAreNotOne) {
  EXPECT_TRUE(fails_with({"meet in different barriers"}, 64, 0, two_barriers));
}

__global__ void missing_lane() {
  if (thread() != 5) __shfl_sync(kAllLanes, 1, 0);
  if (thread() == 5) __syncthreads();
}
__global__ void ended_lane() {
  if (thread() != 5) __shfl_sync(kAllLanes, 1, 0);
}
__global__ void not_in_own_mask() {
  __shfl_sync(0xfffffffeu, 1, 1);
}
__global__ void source_outside_mask() {
  if (thread() < 16) __shfl_sync(0x0000ffffu, 1, 20);
}
__global__ void two_operations() {
  if (thread() % 2 == 0) {
    __shfl_sync(kAllLanes, 1, 0);
  } else {
    __ballot_sync(kAllLanes, 1);
  }
}

TEST_P(EmulatedBlockTest, WarpOperationsThatAreUndefined) {
  EXPECT_TRUE(fails_with({"waits in __shfl_sync with mask 0xffffffff", "for 1 other: 5"}, 32, 0, missing_lane));
  EXPECT_TRUE(fails_with({"end", "5"}, 32, 0, ended_lane));
  EXPECT_TRUE(fails_with({"not in the mask it gives"}, 1, 0, not_in_own_mask));
  EXPECT_TRUE(fails_with({"takes the value of lane 20"}, 32, 0, source_outside_mask));
  EXPECT_TRUE(fails_with({"lanes of one mask meet in different operations"}, 32, 0, two_operations));
  EXPECT_TRUE(fails_with({"lane 24", "does not exist"}, 24, 0, missing_lane));
}

__global__ void throws_in_the_middle() {
  std::vector<int> held(100);  // whose memory must come back
  __syncthreads();
  if (thread() == 9) __trap();
  __syncthreads();
}

TEST_P(EmulatedBlockTest, AFaultNamesItsThread) {
  EXPECT_TRUE(fails_with({"thread 9: __trap()"}, 64, 0, throws_in_the_middle));
}

TEST_P(EmulatedBlockTest, LaunchesThatNoDeviceTakes) {
  const auto refused = [&](const cuda::LaunchShape& shape) {
    return fails(ExitCode::environment, {"cudaGetLastError"}, [&] { launch(shape, two_barriers); });
  };
  EXPECT_TRUE(refused({1, 1025}));
  EXPECT_TRUE(refused({1, 32, 228 << 10}));
  EXPECT_TRUE(refused({dim3(1, 65536), 32}));
  cudaSetDevice(1);  // not the stream's
  EXPECT_TRUE(refused({1, 32}));
  cudaSetDevice(0);
}

}  // namespace
}  // namespace switchyard
