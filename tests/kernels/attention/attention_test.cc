#include "kernels/attention/attention.h"

#include <gtest/gtest.h>

#include "attention_case.h"

namespace switchyard {
namespace {

using namespace test;

class AttentionTest : public testing::TestWithParam<std::tuple<Device, AttentionCase>> {};

TEST_P(AttentionTest, AgreesWithDoublePrecision) {
  const auto& [device, c] = GetParam();
  if (const std::string why = why_skipped(device); !why.empty()) GTEST_SKIP() << why;
  const AttentionInputs in(offsets_of(c.lengths).back(), c);
  const float scale = 1 / std::sqrt(static_cast<float>(c.head_dim));
  EXPECT_TRUE(close(attend(TestStream(device), in, c, scale), expected(device, in, c, scale)));
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AttentionTest,
    testing::Combine(
        testing::ValuesIn(kDevices),
        testing::Values(AttentionCase{DType::f32, 4, 2, 64, {130, 1, 0, 7}}, AttentionCase{DType::f32, 1, 1, 12, {1}},
                        AttentionCase{DType::f32, 6, 2, 16, {65, 300}}, AttentionCase{DType::f32, 4, 4, 24, {64, 129}},
                        AttentionCase{DType::f32, 5, 1, 80, {0, 140}}, AttentionCase{DType::bf16, 8, 1, 128, {17, 128}},
                        AttentionCase{DType::bf16, 3, 3, 10, {33}}, AttentionCase{DType::f32, 40, 1, 16, {70}},
                        AttentionCase{DType::f32, 2, 1, 8, {0, 0}}, AttentionCase{DType::f32, 2, 1, 250, {67}},
                        AttentionCase{DType::f32, 130, 1, 6, {5}}, AttentionCase{DType::f32, 3, 3, 10, {66}},
                        AttentionCase{DType::bf16, 1, 1, 12, {1}}, AttentionCase{DType::bf16, 4, 4, 24, {64, 129}},
                        AttentionCase{DType::bf16, 5, 1, 80, {0, 140}}, AttentionCase{DType::bf16, 2, 1, 64, {0, 160}},
                        AttentionCase{DType::bf16, 2, 2, 200, {70, 3}}, AttentionCase{DType::bf16, 40, 1, 16, {70}},
                        AttentionCase{DType::bf16, 131, 1, 32, {3, 0, 2}},
                        AttentionCase{DType::bf16, 2, 1, 8, {0, 0}})),
    name_of_parameters<AttentionCase>);

class AttentionBits : public testing::TestWithParam<std::tuple<Device, DType>> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(device()); !why.empty()) GTEST_SKIP() << why;
  }
  Device device() const { return std::get<0>(GetParam()); }
  DType output() const { return std::get<1>(GetParam()); }
};

// Lengths around every size of a block, in one batch.
TEST_P(AttentionBits, OfManyLengths) {
  AttentionCase c{output(), 3, 1, 16, {}};
  for (const int64_t n : {1, 2, 3, 0, 0, 15, 16, 17, 31, 32, 33, 42, 43, 63, 64, 0, 65, 84, 85, 127, 128, 129, 300, 0})
    c.lengths.push_back(n);
  const AttentionInputs in(offsets_of(c.lengths).back(), c);
  EXPECT_TRUE(close(attend(TestStream(device()), in, c, 0.25f), expected(device(), in, c, 0.25)));
}

// Every query finds one key, by a code of signs, among scores whose exponentials would overflow: the result is that
// key's value, and any element in a wrong place is another number.
TEST_P(AttentionBits, OfOneKeyEach) {
  for (const int64_t dim : {20, 64, 128}) {
    const AttentionCase c{output(), 4, 2, dim, {}};
    const std::vector<int64_t> offsets{0, 37, 180};
    const AttentionInputs in(180, c);
    const auto sign = [&](int64_t t, int64_t i) {
      return (i < 8 ? t >> i : static_cast<int64_t>(random_bits(4, static_cast<uint64_t>(t * dim + i)))) & 1 ? 1.0f
                                                                                                             : -1;
    };
    std::vector<reference::Bounded> want(static_cast<size_t>(in.q.size()));
    for (int64_t t = 0; t < 180; ++t) {
      const int64_t begin = t < 37 ? 0 : 37;
      for (int64_t i = 0; i < 2 * dim; ++i) in.k.set(t * 2 * dim + i, sign(t, i % dim));
      for (int64_t h = 0; h < 4; ++h) {
        const auto key = begin + static_cast<int64_t>(random_bits(6, static_cast<uint64_t>(4 * t + h)) %
                                                      static_cast<uint64_t>(t - begin + 1));
        for (int64_t i = 0; i < dim; ++i) {
          const int64_t element = (4 * t + h) * dim + i;
          in.q.set(element, 60 * sign(key, i));
          const double value = in.v.at((2 * key + h / 2) * dim + i);
          want[static_cast<size_t>(element)] = {value,
                                                output() == DType::bf16 ? kBFloat16Epsilon * std::abs(value) : 0};
        }
      }
    }
    EXPECT_TRUE(close(attend(TestStream(device()), in, c, 1, offsets, 0, 180), want)) << "head_dim " << dim;
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, AttentionBits,
                         testing::Combine(testing::ValuesIn(kDevices), testing::Values(DType::f32, DType::bf16)),
                         [](const auto& param) {
                           return fmt::format("{}_{}", name_of(std::get<0>(param.param)),
                                              switchyard::name_of(std::get<1>(param.param)));
                         });

TEST(Attention, OffsetsMustCoverTheTokens) {
  const AttentionCase c{DType::f32, 2, 1, 16, {}};
  const AttentionInputs in(10, c);
  Tensor out({10, 2, 16}, DType::f32);
  CpuStream stream;
  for (const std::vector<int64_t>& bad : {std::vector<int64_t>{0, 9}, {0, 7, 5, 10}, {1, 10}, {0, 11}})
    EXPECT_THROW(attention(stream, in.q, in.k, in.v, view_of(std::span<const int64_t>(bad)), {}, {}, 1, {}, out),
                 Error);
}

}  // namespace
}  // namespace switchyard
