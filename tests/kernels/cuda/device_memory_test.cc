#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/device.h"
#include "support/device.h"
#include "support/tensor.h"

namespace switchyard {
namespace {

using namespace test;

// Of a model's memory the most is matrices of a few MiB.
TEST(DeviceMemory, BlocksTakeWhatTheyHold) {
  if (const std::string why = why_skipped(Device::cuda); !why.empty()) GTEST_SKIP() << why;
  constexpr size_t kBlock = 3 << 20, kNumBlocks = 200, kPoolGrowth = 64 << 20;
  const auto free_bytes = [] { return device_info(0).free_bytes; };
  const size_t before = free_bytes();
  {
    std::vector<Memory> blocks;
    for (size_t i = 0; i < kNumBlocks; ++i) blocks.emplace_back(kBlock, Device::cuda);
    EXPECT_LE(before - free_bytes(), kNumBlocks * kBlock + kPoolGrowth);
  }
  EXPECT_GE(free_bytes() + kPoolGrowth, before);  // given back
}

// More than lies in staging at once, of odd sizes, from memory that is written again while the copies are under way.
TEST(DeviceMemory, WhatIsCopiedMayChangeOnceTheCopyIsGiven) {
  if (const std::string why = why_skipped(Device::cuda); !why.empty()) GTEST_SKIP() << why;
  const TestStream stream(Device::cuda);
  constexpr int64_t kCopies = 60, kLongest = 300'000;
  OwnedTensor there({kCopies, kLongest}, DType::f32, Device::cuda);
  Tensor here({kLongest}, DType::f32);
  const auto length = [](int64_t i) { return kLongest - 4999 * i; };
  for (int64_t i = 0; i < kCopies; ++i) {
    std::fill_n(here.data<float>(), length(i), static_cast<float>(i));
    copy(stream, View{here.data<float>(), {length(i)}, DType::f32},
         there.view().slice(i, 1).reshaped({kLongest}).slice(0, length(i)));
  }
  for (int64_t i = 0; i < kCopies; ++i) {
    const HostCopy row(stream, there.view().slice(i, 1));
    for (const int64_t at : {int64_t{0}, length(i) / 2, length(i) - 1}) EXPECT_EQ(row.view().as<float>()[at], i) << at;
  }
}

}  // namespace
}  // namespace switchyard
