#include "kernels/vocabulary/embedding.h"

#include <gtest/gtest.h>

#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

class EmbeddingTest : public testing::TestWithParam<std::tuple<Device, DType, int64_t>> {};

TEST_P(EmbeddingTest, CopiesTheRows) {
  const auto [device, dtype, dim] = GetParam();
  if (const std::string why = why_skipped(device); !why.empty()) GTEST_SKIP() << why;
  const Tensor table = random_tensor({40, dim}, dtype, 1);
  const std::vector<int32_t> ids{3, 39, 0, 3, 17};
  TestStream stream(device);
  for (const int64_t displacement : {0, 1}) {
    Tensor y({5, dim}, DType::f32);
    stream.run_displaced(displacement, embedding, i32_tensor(ids), table, y);
    for (int64_t t = 0; t < 5; ++t)
      for (int64_t i = 0; i < dim; ++i) ASSERT_EQ(y.at(t * dim + i), table.at(ids[static_cast<size_t>(t)] * dim + i));
  }
}

TEST_P(EmbeddingTest, NoTokensGiveNoRows) {
  const auto [device, dtype, dim] = GetParam();
  if (const std::string why = why_skipped(device); !why.empty()) GTEST_SKIP() << why;
  TestStream(device).run(embedding, i32_tensor({}), random_tensor({4, dim}, dtype, 1), Tensor({0, dim}, DType::f32));
}

INSTANTIATE_TEST_SUITE_P(Shapes, EmbeddingTest,
                         testing::Combine(testing::ValuesIn(kDevices), testing::Values(DType::f32, DType::bf16),
                                          testing::Values(1, 19, 64, 1100)));

TEST(Embedding, IdsBeyondTheTableAreRefused) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Tensor table = random_tensor({4, 8}, dtype, 1);
    CpuStream stream;
    EXPECT_THROW(embedding(stream, i32_tensor({4}), table, Tensor({1, 8}, DType::f32)), Error);
    EXPECT_THROW(embedding(stream, i32_tensor({-1}), table, Tensor({1, 8}, DType::f32)), Error);
  }
}

}  // namespace
}  // namespace switchyard
