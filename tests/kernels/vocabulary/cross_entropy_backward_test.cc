#include <gtest/gtest.h>

#include <cmath>

#include "kernels/vocabulary/cross_entropy.h"
#include "reference/central_difference.h"
#include "reference/linear.h"
#include "reference/softmax.h"
#include "support/compare.h"
#include "support/expect_error.h"

namespace switchyard {
namespace {

using namespace test;

constexpr float kScale = 0.25f;

struct CrossEntropyBackwardCase {
  DType operand;
  int64_t rows, vocab, d;
};

std::ostream& operator<<(std::ostream& os, const CrossEntropyBackwardCase& c) {
  return os << name_of(c.operand) << "_" << c.rows << "x" << c.vocab << "x" << c.d;
}

/// A batch with the log-sums of its forward pass. Every fifth target is that of the row before.
struct CrossEntropyBackwardBatch {
  Tensor x, w;
  std::vector<int32_t> targets;
  PackedMatrix head;
  Tensor lse;

  explicit CrossEntropyBackwardBatch(const CrossEntropyBackwardCase& c)
      : x(random_tensor({c.rows, c.d}, c.operand, 1)),
        w(widened(random_tensor({c.vocab, c.d}, c.operand, 2))),
        head(PackedMatrix::pack(w, c.operand)),
        lse(poisoned({c.rows}, DType::f32)) {
    for (uint64_t r = 0; r < static_cast<uint64_t>(c.rows); ++r)
      targets.push_back(static_cast<int32_t>(random_bits(5, r - r % 5 / 4) % static_cast<uint64_t>(c.vocab)));
    const Tensor scratch({cross_entropy_scratch(c.rows, c.vocab)}, DType::f32), logprob({c.rows}, DType::f32),
        argmax({c.rows}, DType::i32);
    cross_entropy(CpuStream(), x, head, i32_tensor(targets), scratch, lse, logprob, argmax);
  }
  /// Of rows [row, row + rows) and tokens [first_id, first_id + ids).
  Tensor backward(const Stream& stream, int64_t row, int64_t rows, int64_t first_id, int64_t ids) const {
    Tensor d_logits = poisoned({rows, ids}, x.dtype());
    const std::vector<int32_t> some(targets.begin() + row, targets.begin() + row + rows);
    cross_entropy_backward(stream, x.view().slice(row, rows), head, i32_tensor(some), lse.view().slice(row, rows), {},
                           kScale, first_id, d_logits);
    return d_logits;
  }
  Tensor backward(const Stream& stream) const { return backward(stream, 0, x.view().rows(), 0, w.view().rows()); }
};

/// scale · (softmax − [target])
std::vector<double> gradient(const std::vector<double>& logits, int32_t target, double scale) {
  std::vector<double> result = reference::softmax(logits);
  result[static_cast<size_t>(target)] -= 1;
  for (double& g : result) g *= scale;
  return result;
}

class CrossEntropyBackwardTest : public testing::TestWithParam<CrossEntropyBackwardCase> {
 protected:
  const CrossEntropyBackwardCase c_ = GetParam();
  const CrossEntropyBackwardBatch batch_{c_};
};

TEST_P(CrossEntropyBackwardTest, AgreesWithDoublePrecision) {
  const auto logits = reference::linear(batch_.x, batch_.w, c_.rows, c_.vocab, c_.d);
  std::vector<reference::Bounded> want;
  for (int64_t r = 0; r < c_.rows; ++r) {
    std::vector<double> row;
    double bound = 0, largest = 0;
    for (int64_t j = 0; j < c_.vocab; ++j) {
      const auto& logit = logits[static_cast<size_t>(r * c_.vocab + j)];
      row.push_back(logit.value);
      bound = std::max(bound, logit.bound);
      largest = std::max(largest, std::abs(logit.value));
    }
    // A probability is off by what its exponent is: the logit, its log-sum, and their difference's rounding.
    const double exponent = 2 * bound + 4 * reference::kEpsilon * (64 + largest + reference::log_sum_exp(row));
    const int32_t target = batch_.targets[static_cast<size_t>(r)];
    const std::vector<double> g = gradient(row, target, kScale), p = reference::softmax(row);
    for (size_t j = 0; j < g.size(); ++j)
      want.push_back({g[j], kScale * p[j] * exponent + 2 * reference::kEpsilon * std::abs(g[j])});
  }
  EXPECT_TRUE(close(batch_.backward(CpuStream()), want));
}

// Tiles of the vocabulary, few rows, any number of threads.
TEST_P(CrossEntropyBackwardTest, BitsDependOnTheRowAndTheTokenAlone) {
  const Tensor all = batch_.backward(CpuStream(1));
  EXPECT_TRUE(same_bits(batch_.backward(CpuStream(3)), all));
  const auto expect_same = [&](int64_t row, int64_t rows, int64_t first_id, int64_t ids) {
    const Tensor part = batch_.backward(CpuStream(2), row, rows, first_id, ids);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < ids; ++j)
        ASSERT_EQ(part.at(r * ids + j), all.at((row + r) * c_.vocab + first_id + j)) << row + r << ", " << first_id + j;
  };
  for (int64_t first = 0; first < c_.vocab; first += 1024)
    expect_same(0, c_.rows, first, std::min<int64_t>(1024, c_.vocab - first));
  const int64_t last = (c_.vocab - 1) / 512 * 512;
  expect_same(c_.rows / 2, 1, last, c_.vocab - last);
  expect_same(c_.rows - 1, 1, 0, std::min<int64_t>(77, c_.vocab));
  expect_same(0, (c_.rows + 1) / 2, 0, c_.vocab);
}

INSTANTIATE_TEST_SUITE_P(Shapes, CrossEntropyBackwardTest,
                         testing::Values(CrossEntropyBackwardCase{DType::f32, 1, 1, 1},
                                         CrossEntropyBackwardCase{DType::f32, 5, 33, 17},
                                         CrossEntropyBackwardCase{DType::f32, 40, 2049, 24},
                                         CrossEntropyBackwardCase{DType::f32, 140, 700, 40},
                                         CrossEntropyBackwardCase{DType::bf16, 5, 33, 17},
                                         CrossEntropyBackwardCase{DType::bf16, 40, 2049, 24},
                                         CrossEntropyBackwardCase{DType::bf16, 300, 1030, 8}),
                         [](const auto& param) { return testing::PrintToString(param.param); });

TEST(CrossEntropyBackward, TheOraclesGradientIsTheLosssSlope) {
  std::vector<double> logits = reference::values_of(random_tensor({9}, DType::f32, 1, 3)).values;
  const auto loss = [&] { return -0.5 * (logits[4] - reference::log_sum_exp(logits)); };
  const std::vector<double> got = gradient(logits, 4, 0.5);
  for (size_t j = 0; j < logits.size(); ++j) EXPECT_NEAR(got[j], reference::central_difference(loss, logits[j]), 1e-9);
}

// Logits of one input are the head's only column times x.
TEST(CrossEntropyBackward, WhatIsCertainHasNoGradient) {
  CrossEntropyBackwardBatch batch({DType::f32, 2, 600, 1});
  for (int64_t j = 0; j < 600; ++j) batch.w.set(j, j == 599 ? 3e4f : -3e4f);
  batch.head = PackedMatrix::pack(batch.w, DType::f32);
  for (int64_t r = 0; r < 2; ++r) batch.x.set(r, 1), batch.lse.set(r, 3e4f);
  batch.targets = {599, 3};
  const Tensor got = batch.backward(CpuStream());
  for (int64_t j = 0; j < 600; ++j) {
    EXPECT_EQ(got.at(j), 0) << j;
    EXPECT_EQ(got.at(600 + j), j == 3 ? -kScale : j == 599 ? kScale : 0) << j;
  }
}

TEST(CrossEntropyBackward, ALogSumThatIsNotFiniteShows) {
  CrossEntropyBackwardBatch batch({DType::f32, 2, 20, 3});
  batch.lse.set(0, NAN);
  const Tensor got = batch.backward(CpuStream());
  for (int64_t j = 0; j < 20; ++j) EXPECT_TRUE(std::isnan(got.at(j)) && std::isfinite(got.at(20 + j))) << j;
}

TEST(CrossEntropyBackward, OfNoRowsIsNone) {
  CrossEntropyBackwardBatch batch({DType::f32, 1, 20, 3});
  EXPECT_EQ(batch.backward(CpuStream(), 0, 0, 0, 20).size(), 0);
}

TEST(CrossEntropyBackward, TokensOutsideTheVocabularyOrBetweenPanelsAreRefused) {
  CrossEntropyBackwardBatch batch({DType::f32, 2, 1100, 3});
  const auto refused = [&](std::string_view part, int64_t first_id, int64_t ids) {
    return fails(ExitCode::internal, {part}, [&] { batch.backward(CpuStream(), 0, 2, first_id, ids); });
  };
  EXPECT_FALSE(refused("", 512, 588));
  EXPECT_TRUE(refused("[512, 1101) of 1100", 512, 589));
  EXPECT_TRUE(refused("panels of 512", 100, 10));
  EXPECT_TRUE(refused("[-512, -500)", -512, 12));
  batch.targets[1] = 1100;
  EXPECT_TRUE(refused("row 1 has target 1100 of 1100", 0, 512));
}

}  // namespace
}  // namespace switchyard
