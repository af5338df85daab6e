// The emulator does what CUDA defines, and says no to what CUDA leaves undefined.
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/warp.h"
#include "support/device.h"
#include "support/expect_error.h"
#include "support/tensor.h"

namespace switchyard {
namespace {

using namespace test;
using cuda::kAllLanes;

/// Blocks and threads in order, and in several random orders.
class EmulatorTest : public testing::TestWithParam<uint64_t> {
 protected:
  EmulatorTest() : stream_(Device::cuda, 1, 0) { emulator::set_schedule(GetParam()); }
  ~EmulatorTest() override { emulator::set_schedule(0); }

  template <class... P, class... A>
  void launch(dim3 grid, unsigned threads, size_t shared_bytes, void (*kernel)(P...), const A&... args) {
    cuda::launch(stream_, {grid, threads, shared_bytes}, kernel, args...);
  }
  TestStream stream_;
};
INSTANTIATE_TEST_SUITE_P(Schedules, EmulatorTest, testing::Values(0, 1, 2, 3));

__global__ void number_threads(int* out) {
  out[(blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x * blockDim.x + blockIdx.x * blockDim.x + threadIdx.x] +=
      static_cast<int>(threadIdx.x + 1000 * blockIdx.x + 100000 * blockIdx.y + 1000000 * blockIdx.z);
}

TEST_P(EmulatorTest, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<int> out(3 * 2 * 4 * 40, 0);
  launch(dim3(4, 2, 3), 40, 0, number_threads, out.data());
  for (int z = 0, i = 0; z < 3; ++z)
    for (int y = 0; y < 2; ++y)
      for (int x = 0; x < 4; ++x)
        for (int t = 0; t < 40; ++t, ++i)
          EXPECT_EQ(out[static_cast<size_t>(i)], t + 1000 * x + 100000 * y + 1000000 * z);
}

__global__ void reverse(const int* in, int* out) {
  cuda::SharedMemory shared;
  const auto values = shared.take<int>(static_cast<int>(blockDim.x));
  const int t = static_cast<int>(threadIdx.x), n = static_cast<int>(blockDim.x);
  values[t] = in[t];
  __syncthreads();
  out[t] = values[n - 1 - t];
}

TEST_P(EmulatorTest, ABarrierOrdersSharedMemory) {
  std::vector<int> in(256), out(256);
  std::iota(in.begin(), in.end(), 0);
  launch(1, 256, 1024, reverse, in.data(), out.data());
  for (size_t i = 0; i < 256; ++i) EXPECT_EQ(out[i], 255 - static_cast<int>(i));
}

__global__ void shuffles(int* out) {
  const int t = static_cast<int>(threadIdx.x);
  int* mine = out + 8 * t;
  mine[0] = __shfl_sync(kAllLanes, t, 5);
  mine[1] = __shfl_sync(kAllLanes, t, 9, 8);
  mine[2] = __shfl_up_sync(kAllLanes, t, 3);
  mine[3] = __shfl_down_sync(kAllLanes, t, 3, 16);
  mine[4] = __shfl_xor_sync(kAllLanes, t, 16);
  mine[5] = static_cast<int>(__shfl_xor_sync(kAllLanes, 1.5f * static_cast<float>(t), 1));
  mine[6] = static_cast<int>(__ballot_sync(kAllLanes, t % 3 == 0));
  mine[7] = __reduce_add_sync(kAllLanes, t);
}

TEST_P(EmulatorTest, ShufflesAndVotes) {
  std::vector<int> out(64 * 8);
  launch(1, 64, 0, shuffles, out.data());
  for (int t = 0; t < 64; ++t) {
    const int* mine = out.data() + 8 * t;
    const int lane = t % 32, base = t - lane;
    EXPECT_EQ(mine[0], base + 5);
    EXPECT_EQ(mine[1], t / 8 * 8 + 1);
    EXPECT_EQ(mine[2], lane < 3 ? t : t - 3);
    EXPECT_EQ(mine[3], lane % 16 + 3 < 16 ? t + 3 : t);
    EXPECT_EQ(mine[4], t ^ 16);
    EXPECT_EQ(mine[5], static_cast<int>(1.5f * static_cast<float>(t ^ 1)));
    unsigned expected = 0;
    for (int l = 0; l < 32; ++l) expected |= ((base + l) % 3 == 0 ? 1u : 0u) << l;
    EXPECT_EQ(static_cast<unsigned>(mine[6]), expected);
    EXPECT_EQ(mine[7], 32 * base + 496);
  }
}

}  // namespace
}  // namespace switchyard
