#include "kernels/vocabulary/sample_tokens.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/vocabulary/cross_entropy.h"
#include "reference/linear.h"
#include "reference/softmax.h"
#include "support/compare.h"
#include "support/expect_error.h"

namespace switchyard {
namespace {

using namespace test;

struct SampleTokensCase {
  DType operand;
  int64_t rows, vocab, d;
};

std::ostream& operator<<(std::ostream& os, const SampleTokensCase& c) {
  return os << name_of(c.operand) << "_" << c.rows << "x" << c.vocab << "x" << c.d;
}

/// A batch with what its forward pass leaves.
struct SampleTokensBatch {
  Tensor x, w;
  PackedMatrix head;
  Tensor sums, uniform;

  explicit SampleTokensBatch(const SampleTokensCase& c)
      : x(random_tensor({c.rows, c.d}, c.operand, 1)),
        w(widened(random_tensor({c.vocab, c.d}, c.operand, 2))),
        head(PackedMatrix::pack(w, c.operand)),
        sums({cross_entropy_scratch(c.rows, c.vocab)}, DType::f32),
        uniform({c.rows}, DType::f64) {
    const Tensor lse({c.rows}, DType::f32), logprob({c.rows}, DType::f32), argmax({c.rows}, DType::i32);
    cross_entropy(CpuStream(), x, head, Tensor({c.rows}, DType::i32), sums, lse, logprob, argmax);
    for (int64_t r = 0; r < c.rows; ++r)
      uniform.data<double>()[r] = static_cast<double>(random_bits(7, static_cast<uint64_t>(r)) >> 11) * 0x1p-53;
  }
  int64_t tiles() const { return sums.size() / x.view().rows(); }

  struct Drawn {
    Tensor token, logprob;
  };
  Drawn draw(const Stream& stream, int64_t first, int64_t rows) const {
    Drawn drawn{Tensor({rows}, DType::i32), poisoned({rows}, DType::f32)};
    sample_tokens(stream, x.view().slice(first, rows), head, sums.view().slice(first * tiles(), rows * tiles()),
                  uniform.view().slice(first, rows), drawn.token, drawn.logprob);
    return drawn;
  }
  Drawn draw(const Stream& stream) const { return draw(stream, 0, x.view().rows()); }
};

class SampleTokensTest : public testing::TestWithParam<SampleTokensCase> {
 protected:
  const SampleTokensCase c_ = GetParam();
  const SampleTokensBatch batch_{c_};
};

// Up to roundings of probabilities on either side of the number drawn.
TEST_P(SampleTokensTest, IsTheFirstTokenThatExceedsTheNumber) {
  const auto drawn = batch_.draw(CpuStream());
  const auto logits = reference::linear(batch_.x, batch_.w, c_.rows, c_.vocab, c_.d);
  for (int64_t r = 0; r < c_.rows; ++r) {
    std::vector<double> of_row;
    for (int64_t j = 0; j < c_.vocab; ++j) of_row.push_back(logits[static_cast<size_t>(r * c_.vocab + j)].value);
    const std::vector<double> p = reference::softmax(of_row);
    const auto token = static_cast<size_t>(drawn.token.data<int32_t>()[r]);
    ASSERT_LT(token, p.size());
    double before = 0;
    for (size_t j = 0; j < token; ++j) before += p[j];
    const double u = batch_.uniform.data<double>()[r];
    EXPECT_LE(before, u + 1e-5) << r;
    EXPECT_GT(before + p[token], u - 1e-5) << r;
    EXPECT_NEAR(drawn.logprob.data<float>()[r], std::log(p[token]), 1e-4) << r;
  }
}

TEST_P(SampleTokensTest, DependsOnTheRowAlone) {
  const auto all = batch_.draw(CpuStream(1)), again = batch_.draw(CpuStream(3));
  EXPECT_TRUE(same_bits(again.token, all.token));
  EXPECT_TRUE(same_bits(again.logprob, all.logprob));
  for (int64_t r = 0; r < c_.rows; ++r) {
    const auto one = batch_.draw(CpuStream(2), r, 1);
    ASSERT_EQ(one.token.data<int32_t>()[0], all.token.data<int32_t>()[r]) << r;
    ASSERT_EQ(one.logprob.data<float>()[0], all.logprob.data<float>()[r]) << r;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, SampleTokensTest,
                         testing::Values(SampleTokensCase{DType::f32, 1, 1, 1}, SampleTokensCase{DType::f32, 9, 33, 17},
                                         SampleTokensCase{DType::f32, 60, 6200, 24},
                                         SampleTokensCase{DType::f32, 300, 700, 40},
                                         SampleTokensCase{DType::bf16, 9, 33, 17},
                                         SampleTokensCase{DType::bf16, 60, 4097, 24}),
                         [](const auto& param) { return testing::PrintToString(param.param); });

// 20,000 draws of one row: each token as often as it is likely, to five standard deviations.
TEST(SampleTokens, AreAsFrequentAsTheyAreLikely) {
  constexpr int64_t kRows = 20'000, kVocab = 11;
  SampleTokensBatch batch({DType::f32, kRows, kVocab, 4});
  for (int64_t r = 1; r < kRows; ++r)
    for (int64_t i = 0; i < 4; ++i) batch.x.data<float>()[r * 4 + i] = batch.x.data<float>()[i];
  const Tensor lse({kRows}, DType::f32), logprob({kRows}, DType::f32), argmax({kRows}, DType::i32);
  cross_entropy(CpuStream(), batch.x, batch.head, Tensor({kRows}, DType::i32), batch.sums, lse, logprob, argmax);
  std::vector<double> counts(kVocab), probability(kVocab);
  const auto drawn = batch.draw(CpuStream());
  for (int64_t r = 0; r < kRows; ++r) {
    const auto token = static_cast<size_t>(drawn.token.data<int32_t>()[r]);
    counts[token] += 1;
    probability[token] = std::exp(drawn.logprob.data<float>()[r]);
  }
  for (size_t j = 0; j < kVocab; ++j) {
    const double expected = kRows * probability[j];
    EXPECT_NEAR(counts[j], expected, 5 * std::sqrt(expected)) << j;
  }
}

// Whatever is drawn: what is certain, what comes first, what comes last.
TEST(SampleTokens, TokensWithoutProbabilityAreNotDrawn) {
  SampleTokensBatch batch({DType::f32, 3, 4100, 1});
  for (int64_t j = 0; j < 4100; ++j) batch.w.set(j, j == 2047 || j == 4000 ? 0.0f : -1e4f);
  batch.head = PackedMatrix::pack(batch.w, DType::f32);
  for (int64_t r = 0; r < 3; ++r) batch.x.set(r, 1);
  const Tensor lse({3}, DType::f32), logprob({3}, DType::f32), argmax({3}, DType::i32);
  cross_entropy(CpuStream(), batch.x, batch.head, Tensor({3}, DType::i32), batch.sums, lse, logprob, argmax);
  batch.uniform.data<double>()[0] = 0;
  batch.uniform.data<double>()[1] = 0.4999999999;
  batch.uniform.data<double>()[2] = 1 - 0x1p-53;
  const auto drawn = batch.draw(CpuStream());
  EXPECT_EQ(drawn.token.data<int32_t>()[0], 2047);
  EXPECT_EQ(drawn.token.data<int32_t>()[1], 2047);
  EXPECT_EQ(drawn.token.data<int32_t>()[2], 4000);
  for (int64_t r = 0; r < 3; ++r) EXPECT_NEAR(drawn.logprob.data<float>()[r], std::log(0.5), 1e-6);
}

TEST(SampleTokens, OfNoRowsIsNone) {
  const SampleTokensBatch batch({DType::f32, 2, 20, 3});
  EXPECT_EQ(batch.draw(CpuStream(), 0, 0).token.size(), 0);
}

TEST(SampleTokens, ArgumentsMustGoTogether) {
  SampleTokensBatch batch({DType::f32, 2, 20, 3});
  batch.uniform = Tensor({3}, DType::f64);
  EXPECT_TRUE(fails(ExitCode::internal, {"sample_tokens", "uniform f64 [3]"}, [&] {
    sample_tokens(CpuStream(), batch.x, batch.head, batch.sums, batch.uniform, Tensor({2}, DType::i32),
                  Tensor({2}, DType::f32));
  }));
}

}  // namespace
}  // namespace switchyard
