#include "kernels/cast.h"

#include <gtest/gtest.h>

#include "support/compare.h"

namespace switchyard {
namespace {

using namespace test;

TEST(Cast, RoundsEveryKindOfF32AsTheScalarDoes) {
  constexpr int64_t kCount = 100'003;
  Tensor x({kCount}, DType::f32), y({kCount}, DType::bf16);
  for (int64_t i = 0; i < kCount; ++i)
    x.data<float>()[i] = std::bit_cast<float>(static_cast<uint32_t>(random_bits(1, static_cast<uint64_t>(i))));
  const float special[] = {INFINITY, -INFINITY, NAN, 0.0f, -0.0f, 1.00390625f, 1.01171875f, 3.4e38f, 1e-45f};
  std::copy(std::begin(special), std::end(special), x.data<float>());
  CpuStream stream;
  cast(stream, x, y);
  for (int64_t i = 0; i < kCount; ++i)
    ASSERT_EQ(y.data<BFloat16>()[i].bits, to_bfloat16(x.data<float>()[i]).bits) << x.data<float>()[i];
}

TEST(Cast, EveryBFloat16ToF32AndBack) {
  constexpr int64_t kCount = 1 << 16;
  Tensor x({256, 256}, DType::bf16), wide({256, 256}, DType::f32), back({256, 256}, DType::bf16);
  for (int64_t i = 0; i < kCount; ++i) x.data<BFloat16>()[i].bits = static_cast<uint16_t>(i);
  CpuStream stream;
  cast(stream, x, wide);
  cast(stream, wide, back);
  for (int64_t i = 0; i < kCount; ++i) {
    const float value = to_float(x.data<BFloat16>()[i]);
    ASSERT_EQ(std::bit_cast<uint32_t>(wide.data<float>()[i]), std::bit_cast<uint32_t>(value));
    ASSERT_EQ(back.data<BFloat16>()[i].bits, to_bfloat16(value).bits);
  }
}

TEST(Cast, ShapesMustAgree) {
  CpuStream stream;
  EXPECT_THROW(cast(stream, Tensor({3}, DType::f32), Tensor({4}, DType::bf16)), Error);
}

}  // namespace
}  // namespace switchyard
