#include "kernels/cross_entropy.h"

#include <gtest/gtest.h>

#include "reference/linear.h"
#include "reference/softmax.h"
#include "support/compare.h"

namespace switchyard {
namespace {

using namespace test;

struct Result {
  Tensor logprob, argmax;
};

Result score(const Stream& stream, ConstView x, const PackedMatrix& head, const std::vector<int32_t>& targets) {
  const auto rows = static_cast<int64_t>(targets.size());
  Result result{Tensor({rows, 1}, DType::f32), Tensor({rows, 1}, DType::i32)};
  const Tensor scratch({cross_entropy_scratch(rows, head.n())}, DType::f32);
  cross_entropy(stream, x, head, i32_tensor(targets), scratch, result.logprob, result.argmax);
  return result;
}

std::vector<int32_t> random_targets(int64_t rows, int64_t vocab) {
  std::vector<int32_t> targets;
  for (int64_t r = 0; r < rows; ++r)
    targets.push_back(static_cast<int32_t>(random_bits(5, static_cast<uint64_t>(r)) % static_cast<uint64_t>(vocab)));
  targets.front() = static_cast<int32_t>(vocab - 1);
  return targets;
}

struct Case {
  DType operand;
  int64_t rows, vocab, d;
};

std::ostream& operator<<(std::ostream& os, const Case& c) {
  return os << name_of(c.operand) << "_" << c.rows << "x" << c.vocab << "x" << c.d;
}

class CrossEntropyTest : public testing::TestWithParam<Case> {};

TEST_P(CrossEntropyTest, AgreesWithDoublePrecision) {
  const Case c = GetParam();
  const Tensor x = random_tensor({c.rows, c.d}, c.operand, 1), w = widened(random_tensor({c.vocab, c.d}, c.operand, 2));
  const auto targets = random_targets(c.rows, c.vocab);
  CpuStream stream;
  const Result got = score(stream, x, PackedMatrix::pack(w, c.operand), targets);
  const auto logits = reference::linear(x, w, c.rows, c.vocab, c.d);
  std::vector<reference::Bounded> want;
  for (int64_t r = 0; r < c.rows; ++r) {
    std::vector<double> row;
    double bound = 0;
    for (int64_t j = 0; j < c.vocab; ++j) {
      row.push_back(logits[static_cast<size_t>(r * c.vocab + j)].value);
      bound = std::max(bound, logits[static_cast<size_t>(r * c.vocab + j)].bound);
    }
    const auto best = std::max_element(row.begin(), row.end());
    const double logprob = row[static_cast<size_t>(targets[static_cast<size_t>(r)])] - reference::log_sum_exp(row);
    // Both logit and log-sum move with the logits; a tile's f32 sum of 2048 terms adds its own rounding.
    want.push_back({logprob, 2 * bound + 4 * reference::kEpsilon * (64 + std::abs(*best) + std::abs(logprob))});
    const int32_t argmax = got.argmax.data<int32_t>()[r];
    ASSERT_TRUE(argmax >= 0 && argmax < c.vocab) << argmax;
    EXPECT_GE(row[static_cast<size_t>(argmax)], *best - 2 * bound) << "row " << r;
  }
  EXPECT_TRUE(close(got.logprob, want));
}

INSTANTIATE_TEST_SUITE_P(Shapes, CrossEntropyTest,
                         testing::Values(Case{DType::f32, 1, 1, 1}, Case{DType::f32, 5, 33, 17},
                                         Case{DType::f32, 40, 2049, 24}, Case{DType::f32, 7, 5000, 40},
                                         Case{DType::bf16, 5, 33, 17}, Case{DType::bf16, 40, 2049, 24},
                                         Case{DType::bf16, 7, 5000, 40}, Case{DType::bf16, 530, 70, 8}),
                         testing::PrintToStringParamName());

class CrossEntropyRowBits : public testing::TestWithParam<DType> {};

TEST_P(CrossEntropyRowBits, DependOnTheRowAlone) {
  constexpr int64_t kRows = 540, kVocab = 2600, kDim = 37;
  const Tensor x = random_tensor({kRows, kDim}, GetParam(), 1);
  const PackedMatrix head = PackedMatrix::pack(random_tensor({kVocab, kDim}, DType::f32, 2), GetParam());
  const auto targets = random_targets(kRows, kVocab);
  CpuStream one(1), three(3);
  const Result all = score(one, x, head, targets);
  const Result again = score(three, x, head, targets);
  EXPECT_TRUE(same_bits(again.logprob, all.logprob));
  for (const auto& [first, count] :
       {std::pair<int64_t, int64_t>{0, 1}, {1, 7}, {100, 130}, {539, 1}, {3, 33}, {20, 515}}) {
    const Result part =
        score(three, x.view().slice(first, count), head, {targets.begin() + first, targets.begin() + first + count});
    for (int64_t r = 0; r < count; ++r) {
      ASSERT_TRUE(same_row_bits(part.logprob, r, all.logprob, first + r));
      ASSERT_EQ(part.argmax.data<int32_t>()[r], all.argmax.data<int32_t>()[first + r]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Operands, CrossEntropyRowBits, testing::Values(DType::f32, DType::bf16),
                         [](const auto& param) { return std::string(name_of(param.param)); });

// Logits of one input are the head's only column times x.
Tensor column(const std::vector<float>& values) {
  Tensor t({static_cast<int64_t>(values.size()), 1}, DType::f32);
  std::copy(values.begin(), values.end(), t.data<float>());
  return t;
}

TEST(CrossEntropy, TiesGoToTheLowestToken) {
  std::vector<float> logits(5000, 0.0f);
  for (const size_t i : {700u, 710u, 2500u, 4999u}) logits[i] = 3;
  CpuStream stream;
  const Result got = score(stream, column({1, 1}), PackedMatrix::pack(column(logits), DType::f32), {0, 4999});
  EXPECT_EQ(got.argmax.data<int32_t>()[0], 700);
  EXPECT_EQ(got.argmax.data<int32_t>()[1], 700);
  EXPECT_LT(got.logprob.at(0), got.logprob.at(1));
}

TEST(CrossEntropy, ALogitThatIsNotFiniteShows) {
  for (const float bad : {INFINITY, -INFINITY, NAN}) {
    for (const size_t place : {0u, 511u, 2047u, 2048u, 2999u}) {
      std::vector<float> logits(3000, 0.5f);
      logits[place] = bad;
      CpuStream stream;
      const Result got = score(stream, column({1}), PackedMatrix::pack(column(logits), DType::f32), {7});
      EXPECT_FALSE(std::isfinite(got.logprob.at(0))) << bad << " at " << place;
      EXPECT_TRUE(got.argmax.data<int32_t>()[0] >= 0 && got.argmax.data<int32_t>()[0] < 3000);
    }
  }
}

TEST(CrossEntropy, ExtremeLogitsStayExact) {
  std::vector<float> logits(2100, -3e4f);
  logits[2099] = 3e4f;
  CpuStream stream;
  const Result got = score(stream, column({1, 1}), PackedMatrix::pack(column(logits), DType::f32), {2099, 0});
  EXPECT_EQ(got.logprob.at(0), 0);
  EXPECT_EQ(got.logprob.at(1), -6e4);
}

TEST(CrossEntropy, TargetsOutsideTheVocabularyAreRefused) {
  CpuStream stream;
  const PackedMatrix head = PackedMatrix::pack(column({1, 2, 3}), DType::f32);
  EXPECT_THROW(score(stream, column({1}), head, {3}), Error);
  EXPECT_THROW(score(stream, column({1}), head, {-1}), Error);
}

}  // namespace
}  // namespace switchyard
