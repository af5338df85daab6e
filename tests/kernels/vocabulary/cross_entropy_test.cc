#include "kernels/vocabulary/cross_entropy.h"

#include <gtest/gtest.h>

#include "reference/linear.h"
#include "reference/softmax.h"
#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

struct Result {
  Tensor lse, logprob, argmax;
};

Result score(const TestStream& stream, ConstView x, const PackedMatrix& head, const std::vector<int32_t>& targets) {
  const auto rows = static_cast<int64_t>(targets.size());
  Result result{poisoned({rows, 1}, DType::f32), Tensor({rows, 1}, DType::f32), Tensor({rows, 1}, DType::i32)};
  const Tensor scratch({cross_entropy_scratch(rows, head.n())}, DType::f32);
  const View lse = stream.stream().device == Device::cpu ? View(result.lse) : View{};
  stream.run(cross_entropy, x, head, i32_tensor(targets), scratch, lse, result.logprob, result.argmax);
  return result;
}

std::vector<int32_t> random_targets(int64_t rows, int64_t vocab) {
  std::vector<int32_t> targets;
  for (int64_t r = 0; r < rows; ++r)
    targets.push_back(static_cast<int32_t>(random_bits(5, static_cast<uint64_t>(r)) % static_cast<uint64_t>(vocab)));
  targets.front() = static_cast<int32_t>(vocab - 1);
  return targets;
}

struct CrossEntropyCase {
  DType operand;
  int64_t rows, vocab, d;
};

std::ostream& operator<<(std::ostream& os, const CrossEntropyCase& c) {
  return os << name_of(c.operand) << "_" << c.rows << "x" << c.vocab << "x" << c.d;
}

class CrossEntropyTest : public testing::TestWithParam<std::tuple<Device, CrossEntropyCase>> {};

TEST_P(CrossEntropyTest, AgreesWithDoublePrecision) {
  const auto [device, c] = GetParam();
  if (const std::string why = why_skipped(device); !why.empty()) GTEST_SKIP() << why;
  const Tensor x = random_tensor({c.rows, c.d}, c.operand, 1), w = widened(random_tensor({c.vocab, c.d}, c.operand, 2));
  const auto targets = random_targets(c.rows, c.vocab);
  const TestStream stream(device);
  const Result got = score(stream, x, PackedMatrix::pack(stream, w, c.operand), targets);
  const auto logits = reference::linear(x, w, c.rows, c.vocab, c.d);
  std::vector<reference::Bounded> want, want_lse;
  for (int64_t r = 0; r < c.rows; ++r) {
    std::vector<double> row;
    double bound = 0;
    for (int64_t j = 0; j < c.vocab; ++j) {
      row.push_back(logits[static_cast<size_t>(r * c.vocab + j)].value);
      bound = std::max(bound, logits[static_cast<size_t>(r * c.vocab + j)].bound);
    }
    const auto best = std::max_element(row.begin(), row.end());
    const double lse = reference::log_sum_exp(row);
    const double logprob = row[static_cast<size_t>(targets[static_cast<size_t>(r)])] - lse;
    // Both logit and log-sum move with the logits; a tile's f32 sum of 2048 terms adds its own rounding.
    want.push_back({logprob, 2 * bound + 4 * reference::kEpsilon * (64 + std::abs(*best) + std::abs(logprob))});
    want_lse.push_back({lse, bound + 4 * reference::kEpsilon * (64 + std::abs(*best))});
    const int32_t argmax = got.argmax.data<int32_t>()[r];
    ASSERT_TRUE(argmax >= 0 && argmax < c.vocab) << argmax;
    EXPECT_GE(row[static_cast<size_t>(argmax)], *best - 2 * bound) << "row " << r;
  }
  EXPECT_TRUE(close(got.logprob, want));
  if (device == Device::cpu) {
    EXPECT_TRUE(close(got.lse, want_lse));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CrossEntropyTest,
                         testing::Combine(testing::ValuesIn(kDevices),
                                          testing::Values(CrossEntropyCase{DType::f32, 1, 1, 1},
                                                          CrossEntropyCase{DType::f32, 5, 33, 17},
                                                          CrossEntropyCase{DType::f32, 40, 2049, 24},
                                                          CrossEntropyCase{DType::f32, 7, 5000, 40},
                                                          CrossEntropyCase{DType::bf16, 5, 33, 17},
                                                          CrossEntropyCase{DType::bf16, 40, 2049, 24},
                                                          CrossEntropyCase{DType::bf16, 7, 5000, 40},
                                                          CrossEntropyCase{DType::bf16, 530, 70, 8},
                                                          CrossEntropyCase{DType::bf16, 3, 12289, 8})),
                         name_of_parameters<CrossEntropyCase>);

class CrossEntropyRowBits : public testing::TestWithParam<std::tuple<Device, DType>> {};

TEST_P(CrossEntropyRowBits, DependOnTheRowAlone) {
  const auto [device, operand] = GetParam();
  if (const std::string why = why_skipped(device); !why.empty()) GTEST_SKIP() << why;
  constexpr int64_t kVocab = 2600, kDim = 37;
  const int64_t rows = device == Device::cpu ? 540 : 140;
  const Tensor x = random_tensor({rows, kDim}, operand, 1);
  const TestStream one(device, 1), three(device, 3);
  const PackedMatrix head = PackedMatrix::pack(one, random_tensor({kVocab, kDim}, DType::f32, 2), operand);
  const auto targets = random_targets(rows, kVocab);
  const Result all = score(one, x, head, targets);
  const Result again = score(three, x, head, targets);
  EXPECT_TRUE(same_bits(again.logprob, all.logprob));
  EXPECT_TRUE(same_bits(again.lse, all.lse));
  for (const auto& [first, count] :
       {std::pair<int64_t, int64_t>{0, 1}, {1, 7}, {100, rows / 4}, {rows - 1, 1}, {3, 33}, {20, rows - 25}}) {
    const Result part =
        score(three, x.view().slice(first, count), head, {targets.begin() + first, targets.begin() + first + count});
    for (int64_t r = 0; r < count; ++r) {
      ASSERT_TRUE(same_row_bits(part.logprob, r, all.logprob, first + r));
      ASSERT_TRUE(same_row_bits(part.lse, r, all.lse, first + r));
      ASSERT_EQ(part.argmax.data<int32_t>()[r], all.argmax.data<int32_t>()[first + r]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Operands, CrossEntropyRowBits,
                         testing::Combine(testing::ValuesIn(kDevices), testing::Values(DType::f32, DType::bf16)),
                         [](const auto& param) {
                           return fmt::format("{}_{}", name_of(std::get<0>(param.param)),
                                              switchyard::name_of(std::get<1>(param.param)));
                         });

// Logits of one input are the head's only column times x.
Tensor column(const std::vector<float>& values, DType dtype = DType::f32) {
  Tensor t({static_cast<int64_t>(values.size()), 1}, dtype);
  for (size_t i = 0; i < values.size(); ++i) t.set(static_cast<int64_t>(i), values[i]);
  return t;
}

class CrossEntropy : public testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(GetParam()); !why.empty()) GTEST_SKIP() << why;
  }
  Result score_logits(const std::vector<float>& logits, const std::vector<int32_t>& targets,
                      DType operand = DType::f32) const {
    const TestStream stream(GetParam());
    return score(stream, column(std::vector<float>(targets.size(), 1), operand),
                 PackedMatrix::pack(stream, column(logits), operand), targets);
  }
};

// More rows than a device takes at once: where rows and vocabulary are cut depends on the number of rows.
TEST_P(CrossEntropy, BitsDependOnNoCut) {
  constexpr int64_t kRows = 2051, kVocab = 4099;
  const Tensor x = random_tensor({kRows, 1}, DType::bf16, 1, 9);
  const TestStream stream(GetParam());
  const PackedMatrix head = PackedMatrix::pack(stream, random_tensor({kVocab, 1}, DType::f32, 2), DType::bf16);
  const auto targets = random_targets(kRows, kVocab);
  const Result all = score(stream, x, head, targets);
  for (const int64_t r : {0, 1024, 2047, 2048, 2050}) {
    const Result alone = score(stream, x.view().slice(r, 1), head, {targets[static_cast<size_t>(r)]});
    ASSERT_TRUE(same_row_bits(alone.logprob, 0, all.logprob, r));
    ASSERT_EQ(alone.argmax.data<int32_t>()[0], all.argmax.data<int32_t>()[r]);
  }
}

TEST_P(CrossEntropy, TiesGoToTheLowestToken) {
  std::vector<float> logits(9000, 0.0f);
  for (const size_t i : {700u, 710u, 2500u, 4999u, 8800u}) logits[i] = 3;
  for (const DType operand : {DType::f32, DType::bf16}) {
    const Result got = score_logits(logits, {0, 8800}, operand);
    EXPECT_EQ(got.argmax.data<int32_t>()[0], 700);
    EXPECT_EQ(got.argmax.data<int32_t>()[1], 700);
    EXPECT_LT(got.logprob.at(0), got.logprob.at(1));
  }
}

TEST_P(CrossEntropy, ALogitThatIsNotFiniteShows) {
  for (const DType operand : {DType::f32, DType::bf16})
    for (const float bad : {INFINITY, -INFINITY, NAN})
      for (const size_t place : {0u, 511u, 2048u, 4099u}) {
        std::vector<float> logits(4100, 0.5f);
        logits[place] = bad;
        const Result got = score_logits(logits, {7}, operand);
        EXPECT_FALSE(std::isfinite(got.logprob.at(0))) << name_of(operand) << ", " << bad << " at " << place;
        EXPECT_TRUE(got.argmax.data<int32_t>()[0] >= 0 && got.argmax.data<int32_t>()[0] < 4100);
      }
}

TEST_P(CrossEntropy, ExtremeLogitsStayExact) {
  std::vector<float> logits(4100, -3e4f);
  logits[4099] = 3e4f;
  const Result got = score_logits(logits, {4099, 0});
  EXPECT_EQ(got.logprob.at(0), 0);
  EXPECT_EQ(got.logprob.at(1), -6e4);
}

TEST_P(CrossEntropy, TargetsOutsideTheVocabularyAreRefused) {
  if (GetParam() == Device::cpu) {
    EXPECT_THROW(score_logits({1, 2, 3}, {3}), Error);
    EXPECT_THROW(score_logits({1, 2, 3}, {-1}), Error);
  } else {
    const Result got = score_logits({1, 2, 3}, {3, -1, 2});
    EXPECT_TRUE(std::isnan(got.logprob.at(0)) && std::isnan(got.logprob.at(1)) && std::isfinite(got.logprob.at(2)));
  }
}

TEST_P(CrossEntropy, TheLogSumIsThereOnTheCpuAlone) {
  const TestStream stream(GetParam());
  const PackedMatrix head = PackedMatrix::pack(stream, column({1, 2, 3}), DType::f32);
  const Tensor scratch({cross_entropy_scratch(1, 3)}, DType::f32), lse({1}, DType::f32), logprob({1}, DType::f32),
      argmax({1}, DType::i32);
  const auto run = [&](View wanted) {
    stream.run(cross_entropy, column({1}), head, i32_tensor({0}), scratch, wanted, logprob, argmax);
    return logprob.at(0);
  };
  const double without = run({});
  if (GetParam() == Device::cpu) {
    EXPECT_EQ(run(lse), without);
  } else {
    EXPECT_THROW(run(lse), Error);
  }
}

TEST_P(CrossEntropy, NoRows) {
  score_logits({1, 2, 3}, {});
}

INSTANTIATE_TEST_SUITE_P(Devices, CrossEntropy, testing::ValuesIn(kDevices),
                         [](const auto& param) { return std::string(name_of(param.param)); });

// Memory is measured with the most rows; fewer must not take more.
TEST(CrossEntropyWorkspace, GrowsWithTheRows) {
  const PackedMatrix head = PackedMatrix::of_shape(151936, 64, DType::bf16, RowOrder::plain, Device::cuda);
  size_t before = 0;
  for (int64_t rows = 0; rows < 5000; rows += 7) {
    const ConstView x{nullptr, {rows, 64}, DType::bf16, Device::cuda};
    const size_t bytes = cross_entropy.working_bytes(Device::cuda, x, head, {}, {}, {}, {}, {});
    EXPECT_GE(bytes, before) << rows;
    before = bytes;
  }
  EXPECT_LE(before, size_t{38} << 20);
}

}  // namespace
}  // namespace switchyard
