#include "kernels/embedding.h"

#include <gtest/gtest.h>

#include "support/compare.h"

namespace switchyard {
namespace {

using namespace test;

class EmbeddingTest : public testing::TestWithParam<DType> {};

TEST_P(EmbeddingTest, CopiesTheRows) {
  const Tensor table = random_tensor({40, 19}, GetParam(), 1);
  const std::vector<int32_t> ids{3, 39, 0, 3, 17};
  Tensor y({5, 19}, DType::f32);
  CpuStream stream;
  embedding(stream, i32_tensor(ids), table, y);
  for (int64_t t = 0; t < 5; ++t)
    for (int64_t i = 0; i < 19; ++i) ASSERT_EQ(y.at(t * 19 + i), table.at(ids[static_cast<size_t>(t)] * 19 + i));
}

TEST_P(EmbeddingTest, IdsBeyondTheTableAreRefused) {
  const Tensor table = random_tensor({4, 8}, GetParam(), 1);
  CpuStream stream;
  EXPECT_THROW(embedding(stream, i32_tensor({4}), table, Tensor({1, 8}, DType::f32)), Error);
  EXPECT_THROW(embedding(stream, i32_tensor({-1}), table, Tensor({1, 8}, DType::f32)), Error);
}

INSTANTIATE_TEST_SUITE_P(Types, EmbeddingTest, testing::Values(DType::f32, DType::bf16),
                         [](const auto& param) { return std::string(name_of(param.param)); });

}  // namespace
}  // namespace switchyard
