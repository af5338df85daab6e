#include "kernels/rows/cast.h"

#include <gtest/gtest.h>

#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

class CastTest : public testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(GetParam()); !why.empty()) GTEST_SKIP() << why;
  }
};

TEST_P(CastTest, RoundsEveryKindOfF32AsTheScalarDoes) {
  TestStream stream(GetParam());
  for (const int64_t count : {100'003, 20'000}) {
    Tensor x({count}, DType::f32), y({count}, DType::bf16);
    for (int64_t i = 0; i < count; ++i)
      x.data<float>()[i] = std::bit_cast<float>(static_cast<uint32_t>(random_bits(1, static_cast<uint64_t>(i))));
    const float special[] = {INFINITY, -INFINITY, NAN, 0.0f, -0.0f, 1.00390625f, 1.01171875f, 3.4e38f, 1e-45f};
    std::copy(std::begin(special), std::end(special), x.data<float>());
    stream.run(cast, x, y);
    for (int64_t i = 0; i < count; ++i)
      ASSERT_EQ(y.data<BFloat16>()[i].bits, to_bfloat16(x.data<float>()[i]).bits) << x.data<float>()[i];
  }
}

TEST_P(CastTest, EveryBFloat16ToF32AndBack) {
  constexpr int64_t kCount = 1 << 16;
  Tensor x({256, 256}, DType::bf16), wide({256, 256}, DType::f32), back({256, 256}, DType::bf16);
  for (int64_t i = 0; i < kCount; ++i) x.data<BFloat16>()[i].bits = static_cast<uint16_t>(i);
  TestStream stream(GetParam());
  stream.run(cast, x, wide);
  stream.run(cast, wide, back);
  for (int64_t i = 0; i < kCount; ++i) {
    const float value = to_float(x.data<BFloat16>()[i]);
    ASSERT_EQ(std::bit_cast<uint32_t>(wide.data<float>()[i]), std::bit_cast<uint32_t>(value));
    ASSERT_EQ(back.data<BFloat16>()[i].bits, to_bfloat16(value).bits);
  }
}

TEST_P(CastTest, LengthAndAddressChangeNoBits) {
  TestStream stream(GetParam());
  for (const DType from : {DType::f32, DType::bf16})
    for (const DType to : {DType::f32, DType::bf16})
      for (const int64_t count : {0, 1, 2, 3, 4, 1023, 1028})
        for (const int64_t displacement : {0, 1, 2}) {
          const Tensor x = random_tensor({count}, from, 1);
          Tensor y({count}, to);
          stream.run_displaced(displacement, cast, x, y);
          for (int64_t i = 0; i < count; ++i)
            ASSERT_EQ(y.at(i), to == DType::f32
                                   ? x.at(i)
                                   : static_cast<double>(to_float(to_bfloat16(static_cast<float>(x.at(i))))));
        }
}

INSTANTIATE_TEST_SUITE_P(Devices, CastTest, testing::ValuesIn(kDevices), testing::PrintToStringParamName());

TEST(Cast, ShapesMustAgree) {
  CpuStream stream;
  EXPECT_THROW(cast(stream, Tensor({3}, DType::f32), Tensor({4}, DType::bf16)), Error);
}

}  // namespace
}  // namespace switchyard
