#include "kernels/routing/expert_probabilities.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "reference/bounded.h"
#include "reference/softmax.h"
#include "support/compare.h"
#include "support/expect_error.h"

namespace switchyard {
namespace {

using namespace test;

/// [slices, experts], poisoned before.
std::vector<double> sums(const Stream& stream, ConstView logits, const SlicedRows& rows,
                         RouterScores scores = RouterScores::softmax) {
  const int64_t experts = logits.row_elements(), slices = rows.slices.count();
  std::vector<double> result(static_cast<size_t>(slices * experts), NAN);
  expert_probabilities(stream, logits, scores, rows, {result.data(), {slices, experts}, DType::f64, Device::cpu});
  return result;
}

struct ProbabilitiesCase {
  int64_t experts;
  SliceRange slices;
  std::vector<int64_t> offsets;
};

// Logits from which probabilities differ so much that the order of their sum shows.
constexpr float kWide = 60;

const ProbabilitiesCase kCases[] = {{128, {0, 2}, {0, 70, 200}}, {130, {3, 8}, {0, 0, 5, 6, 6, 99}},
                                    {33, {0, 1}, {0, 300}},      {5, {0, 2}, {0, 1, 4}},
                                    {1, {0, 1}, {0, 3}},         {8, {4, 6}, {0, 0, 0}}};

TEST(ExpertProbabilities, AgreeWithDoublePrecision) {
  for (const ProbabilitiesCase& c : kCases) {
    const Tensor logits = random_tensor({c.offsets.back(), c.experts}, DType::f32, 1, 9);
    const std::vector<double> got = sums(CpuStream(), logits, {c.slices, c.offsets});
    for (size_t s = 0; s + 1 < c.offsets.size(); ++s) {
      std::vector<double> want(static_cast<size_t>(c.experts)), bound(want);
      for (int64_t t = c.offsets[s]; t < c.offsets[s + 1]; ++t) {
        const auto row = logits.view().slice(t, 1).span<float>();
        const std::vector<double> p = reference::softmax({row.begin(), row.end()});
        const double top = std::ranges::max(row);
        for (size_t e = 0; e < p.size(); ++e) {
          want[e] += p[e];
          bound[e] += p[e] * reference::kEpsilon * (24 + std::abs(row[e] - top));
        }
      }
      for (size_t e = 0; e < want.size(); ++e)
        EXPECT_NEAR(got[s * want.size() + e], want[e], bound[e]) << c.experts << " experts, slice " << s;
    }
  }
}

TEST(ExpertProbabilities, OfSigmoidsAreTheirShares) {
  for (const ProbabilitiesCase& c : kCases) {
    const Tensor logits = random_tensor({c.offsets.back(), c.experts}, DType::f32, 1, 9);
    const std::vector<double> got = sums(CpuStream(), logits, {c.slices, c.offsets}, RouterScores::sigmoid);
    for (size_t s = 0; s + 1 < c.offsets.size(); ++s) {
      std::vector<double> want(static_cast<size_t>(c.experts));
      for (int64_t t = c.offsets[s]; t < c.offsets[s + 1]; ++t) {
        std::vector<double> scores;
        double sum = 0;
        for (const float z : logits.view().slice(t, 1).span<float>()) {
          scores.push_back(1 / (1 + std::exp(-static_cast<double>(z))));
          sum += scores.back();
        }
        for (size_t e = 0; e < want.size(); ++e) want[e] += scores[e] / sum;
      }
      for (size_t e = 0; e < want.size(); ++e)
        EXPECT_NEAR(got[s * want.size() + e], want[e], 1e-5 * want[e]) << c.experts << " experts, slice " << s;
    }
  }
}

// One chain in the order of the tokens, whoever computes it and with which other slices.
TEST(ExpertProbabilities, ASlicesBitsDependOnItAlone) {
  for (const ProbabilitiesCase& c : kCases) {
    const Tensor logits = random_tensor({c.offsets.back(), c.experts}, DType::f32, 1, kWide);
    const std::vector<double> together = sums(CpuStream(1), logits, {c.slices, c.offsets});
    EXPECT_EQ(sums(CpuStream(3), logits, {c.slices, c.offsets}), together);
    for (size_t s = 0; s + 1 < c.offsets.size(); ++s) {
      const int64_t first = c.offsets[s], count = c.offsets[s + 1] - first,
                    slice = c.slices.first + std::ssize(c.offsets);
      const std::vector<int64_t> offsets{0, count};
      const std::vector<double> alone =
          sums(CpuStream(2), logits.view().slice(first, count), {{slice, slice + 1}, offsets});
      EXPECT_TRUE(std::ranges::equal(alone, std::span(together).subspan(s * alone.size(), alone.size())));
    }
  }
}

TEST(ExpertProbabilities, AreAddedInTheTokensOrder) {
  const Tensor logits = random_tensor({50, 20}, DType::f32, 1, kWide);
  std::vector<double> want(20);
  for (int64_t t = 0; t < 50; ++t) {
    const std::vector<int64_t> offsets{0, 1};
    const std::vector<double> one = sums(CpuStream(), logits.view().slice(t, 1), {{0, 1}, offsets});
    for (size_t e = 0; e < 20; ++e) want[e] += one[e];
  }
  const std::vector<int64_t> offsets{0, 50};
  EXPECT_EQ(sums(CpuStream(), logits, {{0, 1}, offsets}), want);
}

TEST(ExpertProbabilities, ALogitThatIsNaNShowsInItsSlice) {
  const Tensor logits = random_tensor({4, 40}, DType::f32, 1);
  logits.set(2 * 40 + 11, NAN);
  const std::vector<int64_t> offsets{0, 2, 4};
  const std::vector<double> got = sums(CpuStream(), logits, {{0, 2}, offsets});
  EXPECT_TRUE(std::isfinite(got[11]));
  EXPECT_TRUE(std::isnan(got[40 + 11]));
}

TEST(ExpertProbabilities, OfNoSlicesAreNone) {
  const std::vector<int64_t> offsets{0};
  EXPECT_TRUE(sums(CpuStream(), Tensor({0, 8}, DType::f32), {{3, 3}, offsets}).empty());
}

TEST(ExpertProbabilities, RowsThatAreNotTheTokensAreRefused) {
  const std::vector<int64_t> short_of{0, 1, 2}, two_groups{0, 1, 3};
  const Tensor logits({3, 8}, DType::f32);
  EXPECT_TRUE(fails(ExitCode::internal, {"2 rows"}, [&] { sums(CpuStream(), logits, {{0, 2}, short_of}); }));
  EXPECT_TRUE(fails(ExitCode::internal, {"2 groups"}, [&] { sums(CpuStream(), logits, {{0, 1}, two_groups}); }));
}

}  // namespace
}  // namespace switchyard
