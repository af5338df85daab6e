// The same weights whoever trains: ranks, groups, budgets, threads, pieces.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/fixture_models.h"
#include "tests/train/training_case.h"

namespace switchyard::test {
namespace {

void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b, const ParameterSpace& space,
                      const std::string& what) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_EQ(std::memcmp(&a[i], &b[i], sizeof(float)), 0)
        << what << " of " << space.element_name(static_cast<int64_t>(i)) << ": " << a[i] << " and " << b[i];
}

void expect_same(const TrainedBits& a, const TrainedBits& b, const ModelConfig& config) {
  ASSERT_EQ(a.steps.size(), b.steps.size());
  for (size_t i = 0; i < a.steps.size(); ++i) {
    EXPECT_EQ(a.steps[i].losses.cross_entropy, b.steps[i].losses.cross_entropy) << "step " << i + 1;
    EXPECT_EQ(a.steps[i].losses.balance, b.steps[i].losses.balance) << "step " << i + 1;
    EXPECT_EQ(a.steps[i].losses.tokens_per_expert, b.steps[i].losses.tokens_per_expert) << "step " << i + 1;
    EXPECT_EQ(a.steps[i].gradient_norm, b.steps[i].gradient_norm) << "step " << i + 1;
  }
  const ParameterSpace space(config);
  expect_same_bits(a.parameters, b.parameters, space, "the value");
  expect_same_bits(a.first_moments, b.first_moments, space, "the first moment");
  expect_same_bits(a.second_moments, b.second_moments, space, "the second moment");
}

struct BitsCase {
  std::string name;
  ModelConfig config;
  DType operand;
};

std::vector<BitsCase> bits_cases() {
  std::vector<BitsCase> all;
  for (auto& [name, config] : trainable_configs())
    for (const DType operand : {DType::f32, DType::bf16})
      all.push_back({name + "_" + std::string(name_of(operand)), config, operand});
  return all;
}

class TrainingBits : public testing::TestWithParam<BitsCase> {};

TEST_P(TrainingBits, AreThoseOfOneRank) {
  const TrainingCase c{.config = GetParam().config, .operand = GetParam().operand};
  const TrainedBits expected = train(c, {});
  ASSERT_LT(expected.steps.back().losses.cross_entropy, expected.steps.front().losses.cross_entropy + 1);
  // Ranks and their groups, threads, small and large budgets and pieces: of every two values some model has both.
  const std::vector<TrainingLayout> of_f32 = {{1, 1, 2, 1, 1, true},    {2, 2, 2, 4096, 1 << 20, true},
                                              {3, 1, 2, 4096, 1},       {4, 2, 1, 4096, 10, true},
                                              {7, 7, 1, 4096, 1 << 20}, {8, 4, 1, 1 << 20, 10}},
                                    of_bf16 = {{2, 1, 1, 1 << 20, 10, true},
                                               {3, 3, 1, 1, 1 << 20},
                                               {4, 4, 2, 1 << 20, 1, true},
                                               {4, 1, 1, 200, 1 << 20, true}};
  for (const TrainingLayout& layout : c.operand == DType::f32 ? of_f32 : of_bf16) {
    SCOPED_TRACE(testing::Message() << layout.ranks << " ranks, groups of " << layout.ep << ", " << layout.threads
                                    << " threads, " << layout.exchange_bytes << " bytes at once, "
                                    << layout.batch_tokens << " tokens at once"
                                    << (layout.keep_products ? ", products kept" : ""));
    expect_same(train(c, layout), expected, c.config);
    if (testing::Test::HasFailure()) return;
  }
}

// Ranks without slices only host experts.
TEST(TrainingBitsOfMoreRanksThanSlices, AreThoseOfOneRank) {
  for (const char* family : {"qwen3_moe", "deepseek_v3"}) {
    SCOPED_TRACE(family);
    const TrainingCase c{.config = trainable_config(family), .steps = 2};
    expect_same(train(c, {12, 4, 1, 1 << 20, 1}), train(c, {}), c.config);
  }
}

// Tiles that a rank owns nothing of, before and behind what it owns; tied and not.
TEST(TrainingBitsOfTiles, AreThoseOfOneRank) {
  for (const char* family : {"qwen3_moe", "switchyard"}) {
    const TrainingCase c{.config = with_long_vocabulary(family), .steps = 2};
    const TrainedBits expected = train(c, {});
    for (const TrainingLayout& layout :
         {TrainingLayout{2, 2, 1, 4096, 10}, {3, 1, 2, 1 << 20, 10}, {4, 2, 1, 1 << 20, 1 << 20}}) {
      SCOPED_TRACE(testing::Message() << family << ", " << layout.ranks << " ranks");
      expect_same(train(c, layout), expected, c.config);
    }
  }
}

// Models as families have them, from their files, in all the formats that are read. Of so few records that ranks have
// slices without tokens.
TEST(TrainingBitsOfFixtures, AreThoseOfOneRank) {
  for (const std::string& name : small_models()) {
    SCOPED_TRACE(name);
    const TrainingCase c{.config = read_model_config(model_path(name)), .step_records = 4, .steps = 3};
    const auto start = [&](Trainer& trainer) { trainer.load(model_path(name)); };
    const TrainedBits expected = train(c, {}, start);
    for (const TrainingLayout& layout : {TrainingLayout{3, 3, 1, 4096, 10, true}, {3, 1, 1, 1 << 20, 1 << 20, true}})
      expect_same(train(c, layout, start), expected, c.config);
    if (testing::Test::HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, TrainingBits, testing::ValuesIn(bits_cases()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace switchyard::test
