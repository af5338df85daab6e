// The products that a GPU's library is asked for are those of the configuration.
#include "model/dense_products.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace switchyard::test {
namespace {

/// 4 heads and 2 of keys, 16 wide; width 96, 12 experts; a vocabulary of 700.
ModelConfig some_model() {
  ModelConfig c{.family = "switchyard", .vocab_size = 700, .hidden_size = 96, .max_positions = 64};
  c.layers.assign(3, {AttentionConfig::of_heads(4, 2, 16, 10'000),
                      MoeConfig{.router = {.num_experts = 12, .experts_per_token = 2}, .expert_size = 40}});
  return c;
}

bool has(const std::vector<DenseProduct>& products, const DenseProduct& wanted) {
  return std::ranges::find(products, wanted) != products.end();
}

TEST(DenseProducts, AreThoseOfTheModelEachOnce) {
  for (const DType operand : {DType::f32, DType::bf16}) {
    const std::vector<DenseProduct> products = dense_products(some_model(), operand);
    EXPECT_TRUE(has(products, {700, 96, operand})) << "the vocabulary's";
    EXPECT_TRUE(has(products, {12, 96, DType::f32})) << "the router's";
    EXPECT_TRUE(has(products, {96, 64, operand})) << "the heads' output";
    EXPECT_TRUE(std::ranges::adjacent_find(products) == products.end());
    EXPECT_FALSE(has(products, {40, 96, operand})) << "an expert's, which is no dense one";
    EXPECT_LE(products.size(), 6U);
  }
}

}  // namespace
}  // namespace switchyard::test
