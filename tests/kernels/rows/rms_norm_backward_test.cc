#include <gtest/gtest.h>

#include "kernels/cpu/vector_math.h"
#include "kernels/rows/rms_norm.h"
#include "reference/rms_norm.h"
#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

constexpr double kEps = 1e-5;

struct RmsNormBackwardCase {
  int64_t dim;
  SliceRange slices;
  std::vector<int64_t> offsets;  ///< of slices
  int64_t rows() const { return offsets.back(); }
};

void PrintTo(const RmsNormBackwardCase& c, std::ostream* out) {
  *out << c.rows() << " rows of " << c.dim << " in slices " << c.slices.first << " to " << c.slices.end;
}

struct Result {
  Tensor dx;
  std::vector<Tensor> dweight;  ///< of nodes
};

Result differentiate(const Stream& stream, const RmsNormBackwardCase& c, ConstView x, ConstView weight, ConstView dy,
                     bool squared = false) {
  Result result{poisoned(x.shape, DType::f32), {}};
  std::vector<View> views;
  for (size_t i = 0; i < tree_nodes(c.slices).size(); ++i) result.dweight.push_back(poisoned({c.dim}, DType::f32));
  for (const Tensor& t : result.dweight) views.push_back(t);
  rms_norm_backward(stream, x, weight, static_cast<float>(kEps), dy, {c.slices, c.offsets, squared}, GemmOutput::store,
                    poisoned({c.rows()}, DType::f32), result.dx, views);
  return result;
}

class RmsNormBackwardTest : public testing::TestWithParam<RmsNormBackwardCase> {
 protected:
  const RmsNormBackwardCase case_ = GetParam();
  const int64_t rows_ = case_.rows(), dim_ = case_.dim;
  const Tensor x_ = random_tensor({rows_, dim_}, DType::f32, 1, 3), weight_ = random_tensor({dim_}, DType::f32, 2),
               dy_ = random_tensor({rows_, dim_}, DType::f32, 3);
};

TEST_P(RmsNormBackwardTest, AgreesWithDoublePrecision) {
  const auto want = reference::rms_norm_gradients(x_, weight_, dy_, rows_, dim_, 1e-5f);
  const Result got = differentiate(CpuStream(), case_, x_, weight_, dy_);
  EXPECT_TRUE(close(got.dx, want.dx));
  const auto nodes = tree_nodes(case_.slices);
  for (size_t j = 0; j < nodes.size(); ++j) {
    std::vector<reference::Bounded> sums(static_cast<size_t>(dim_));
    const auto offset = [&](int64_t slice) { return case_.offsets[static_cast<size_t>(slice - case_.slices.first)]; };
    for (int64_t r = offset(nodes[j].first); r < offset(nodes[j].end); ++r)
      for (int64_t i = 0; i < dim_; ++i) {
        const auto& term = want.dweight[static_cast<size_t>(r * dim_ + i)];
        auto& sum = sums[static_cast<size_t>(i)];
        sum.value += term.value;
        sum.bound += term.bound + static_cast<double>(rows_ + 1) * reference::kEpsilon * std::abs(term.value);
      }
    EXPECT_TRUE(close(got.dweight[j], sums)) << "slices " << nodes[j].first << " to " << nodes[j].end;
  }
}

TEST_P(RmsNormBackwardTest, BitsDependNeitherOnThreadsNorOnOtherColumns) {
  const Result one = differentiate(CpuStream(1), case_, x_, weight_, dy_);
  for (const int threads : {2, 5}) {
    const Result many = differentiate(CpuStream(threads), case_, x_, weight_, dy_);
    EXPECT_TRUE(same_bits(many.dx, one.dx));
    for (size_t j = 0; j < one.dweight.size(); ++j) EXPECT_TRUE(same_bits(many.dweight[j], one.dweight[j]));
  }
}

// In place of dy, added to what is there, and without a sum over weights.
TEST_P(RmsNormBackwardTest, DxGoesWhereItIsWanted) {
  const CpuStream stream;
  const Result want = differentiate(stream, case_, x_, weight_, dy_);
  const SlicedRows rows{case_.slices, case_.offsets};
  const auto run = [&](GemmOutput output, ConstView dy, View dx) {
    rms_norm_backward(stream, x_, weight_, static_cast<float>(kEps), dy, rows, output, poisoned({rows_}, DType::f32),
                      dx, {});
  };
  Tensor in_place = random_tensor({rows_, dim_}, DType::f32, 3);
  run(GemmOutput::store, in_place, in_place);
  EXPECT_TRUE(same_bits(in_place, want.dx));
  Tensor sum = random_tensor({rows_, dim_}, DType::f32, 4);
  const Tensor before = random_tensor({rows_, dim_}, DType::f32, 4);
  run(GemmOutput::add, dy_, sum);
  for (int64_t i = 0; i < sum.size(); ++i)
    ASSERT_EQ(sum.data<float>()[i], before.data<float>()[i] + want.dx.data<float>()[i]);
}

TEST_P(RmsNormBackwardTest, InPlaceLeavesTheWeightsGradient) {
  const CpuStream stream;
  const Result want = differentiate(stream, case_, x_, weight_, dy_);
  Tensor in_place = random_tensor({rows_, dim_}, DType::f32, 3);
  std::vector<Tensor> sums;
  std::vector<View> views;
  for (size_t i = 0; i < want.dweight.size(); ++i) views.push_back(sums.emplace_back(poisoned({dim_}, DType::f32)));
  rms_norm_backward(stream, x_, weight_, static_cast<float>(kEps), in_place, {case_.slices, case_.offsets},
                    GemmOutput::store, poisoned({rows_}, DType::f32), in_place, views);
  for (size_t i = 0; i < sums.size(); ++i) EXPECT_TRUE(same_bits(sums[i], want.dweight[i]));
}

TEST_P(RmsNormBackwardTest, WithoutWeightsTheyAreOnes) {
  Tensor ones({dim_}, DType::f32);
  for (int64_t i = 0; i < dim_; ++i) ones.set(i, 1);
  const CpuStream stream;
  const Result want = differentiate(stream, case_, x_, ones, dy_), got = differentiate(stream, case_, x_, {}, dy_);
  EXPECT_TRUE(same_bits(got.dx, want.dx));
  for (size_t i = 0; i < got.dweight.size(); ++i) EXPECT_TRUE(same_bits(got.dweight[i], want.dweight[i]));
}

INSTANTIATE_TEST_SUITE_P(Shapes, RmsNormBackwardTest,
                         testing::Values(RmsNormBackwardCase{1, {0, 1}, {0, 1}},
                                         RmsNormBackwardCase{33, {0, 8}, {0, 3, 3, 40, 41, 80, 80, 80, 130}},
                                         RmsNormBackwardCase{1024, {0, 2}, {0, 2, 5}},
                                         RmsNormBackwardCase{70, {3, 8}, {0, 0, 9, 9, 10, 37}},
                                         RmsNormBackwardCase{128, {5, 7}, {0, 100, 165}},
                                         RmsNormBackwardCase{7, {2, 3}, {0, 21}}));

// Whoever has which slices: their nodes add up to the sum of all.
TEST(RmsNormBackward, NodesAddUpToTheWhole) {
  const RmsNormBackwardCase all{41, {0, 8}, {0, 30, 30, 75, 76, 110, 130, 131, 200}};
  const Tensor x = random_tensor({200, 41}, DType::f32, 1, 3), weight = random_tensor({41}, DType::f32, 2),
               dy = random_tensor({200, 41}, DType::f32, 3);
  const CpuStream stream;
  const Result want = differentiate(stream, all, x, weight, dy);
  for (const int64_t cut : {1, 2, 3, 4, 6, 7}) {
    std::vector<std::pair<SliceRange, Tensor>> nodes;
    for (const SliceRange& slices : {SliceRange{0, cut}, SliceRange{cut, 8}}) {
      RmsNormBackwardCase part{41, slices, {}};
      const int64_t first = all.offsets[static_cast<size_t>(slices.first)];
      for (int64_t s = slices.first; s <= slices.end; ++s)
        part.offsets.push_back(all.offsets[static_cast<size_t>(s)] - first);
      Result result =
          differentiate(stream, part, x.view().slice(first, part.rows()), weight, dy.view().slice(first, part.rows()));
      for (int64_t r = 0; r < part.rows(); ++r) ASSERT_TRUE(same_row_bits(result.dx, r, want.dx, first + r));
      const auto ranges = tree_nodes(slices);
      for (size_t j = 0; j < ranges.size(); ++j) {
        nodes.emplace_back(ranges[j], std::move(result.dweight[j]));
        while (nodes.size() > 1 && are_halves(nodes[nodes.size() - 2].first, nodes.back().first)) {
          const auto [range, sum] = std::move(nodes.back());
          nodes.pop_back();
          nodes.back().first.end = range.end;
          add_to(nodes.back().second.data<float>(), sum.data<float>(), 41);
        }
      }
    }
    ASSERT_EQ(nodes.size(), 1u);
    EXPECT_TRUE(same_bits(nodes[0].second, want.dweight[0])) << "cut at " << cut;
  }
}

// What each slice gives alone, squared by hand and added up, is what the squares of all give.
TEST(RmsNormBackward, SquaresAreThoseOfTheSlices) {
  for (const std::vector<int64_t>& offsets :
       {std::vector<int64_t>{0, 30, 30, 75, 110}, std::vector<int64_t>{0, 2, 2, 2, 3}}) {
    const RmsNormBackwardCase all{41, {4, 8}, offsets};
    const Tensor x = random_tensor({all.rows(), 41}, DType::f32, 1, 3), weight = random_tensor({41}, DType::f32, 2),
                 dy = random_tensor({all.rows(), 41}, DType::f32, 3);
    std::vector<Tensor> slices;
    for (int64_t s = 0; s < 4; ++s) {
      const int64_t first = offsets[static_cast<size_t>(s)], count = offsets[static_cast<size_t>(s) + 1] - first;
      const RmsNormBackwardCase one{41, {s, s + 1}, {0, count}};
      slices.push_back(
          std::move(differentiate(CpuStream(), one, x.view().slice(first, count), weight, dy.view().slice(first, count))
                        .dweight[0]));
    }
    const Tensor want({41}, DType::f32);
    const auto square = [&](size_t s, int64_t i) { return slices[s].data<float>()[i] * slices[s].data<float>()[i]; };
    for (int64_t i = 0; i < 41; ++i)
      want.data<float>()[i] = (square(0, i) + square(1, i)) + (square(2, i) + square(3, i));
    for (const int threads : {1, 2})  // in one pass, and in three
      EXPECT_TRUE(same_bits(differentiate(CpuStream(threads), all, x, weight, dy, true).dweight[0], want)) << threads;
  }
}

TEST(RmsNormBackward, WithoutRowsItIsZero) {
  for (const SliceRange& slices : {SliceRange{0, 2}, SliceRange{1, 4}, SliceRange{3, 3}}) {
    const std::vector<int64_t> offsets(static_cast<size_t>(slices.count() + 1), 0);
    const auto num_nodes = std::ssize(tree_nodes(slices));
    const Tensor empty({0, 8}, DType::f32), sums = poisoned({num_nodes, 8}, DType::f32);
    std::vector<View> nodes;
    for (int64_t i = 0; i < num_nodes; ++i) nodes.push_back(sums.view().slice(i, 1));
    rms_norm_backward(CpuStream(), empty, Tensor({8}, DType::f32), 1e-5f, empty, {slices, offsets}, GemmOutput::store,
                      Tensor({0}, DType::f32), empty, nodes);
    EXPECT_TRUE(same_bits(sums, Tensor({num_nodes, 8}, DType::f32)));
  }
}

// The oracle itself, against differences of the forward pass's.
TEST(RmsNormBackward, OracleAgreesWithFiniteDifferences) {
  struct Doubles {
    std::vector<double> values;
    double at(int64_t i) const { return values[static_cast<size_t>(i)]; }
  };
  constexpr int64_t kRows = 3, kDim = 5;
  constexpr double kStep = 1e-5;
  const auto random = [](int64_t count, uint64_t seed) {
    Doubles d;
    for (int64_t i = 0; i < count; ++i) d.values.push_back(2 * random_uniform(seed, static_cast<uint64_t>(i)) - 1);
    return d;
  };
  Doubles x = random(kRows * kDim, 1), weight = random(kDim, 2), dy = random(kRows * kDim, 3);
  const auto slope = [&](double& value) {
    const auto loss = [&] {
      const auto y = reference::rms_norm(x, weight, kRows, kDim, 0.1);
      double sum = 0;
      for (size_t i = 0; i < y.size(); ++i) sum += y[i].value * dy.values[i];
      return sum;
    };
    const double before = value;
    value = before + kStep;
    const double above = loss();
    value = before - kStep;
    const double below = loss();
    value = before;
    return (above - below) / (2 * kStep);
  };
  const auto gradients = reference::rms_norm_gradients(x, weight, dy, kRows, kDim, 0.1);
  for (size_t i = 0; i < x.values.size(); ++i) EXPECT_NEAR(slope(x.values[i]), gradients.dx[i].value, 1e-8);
  for (size_t i = 0; i < weight.values.size(); ++i) {
    double sum = 0;
    for (size_t r = 0; r < kRows; ++r) sum += gradients.dweight[r * kDim + i].value;
    EXPECT_NEAR(slope(weight.values[i]), sum, 1e-8);
  }
}

TEST(RmsNormBackward, ArgumentsMustGoTogether) {
  const CpuStream stream;
  const Tensor x({4, 8}, DType::f32), weight({8}, DType::f32), scratch({4}, DType::f32);
  const std::vector<View> one{weight}, two{weight, weight}, short_one{scratch};
  const auto run = [&](const std::vector<int64_t>& offsets, std::span<const View> dweight) {
    rms_norm_backward(stream, x, {}, 1e-5f, x, {{0, 2}, offsets}, GemmOutput::store, scratch, x, dweight);
  };
  EXPECT_NO_THROW(run({0, 1, 4}, one));
  EXPECT_THROW(run({0, 1, 3}, one), Error);
  EXPECT_THROW(run({0, 5, 4}, one), Error);
  EXPECT_THROW(run({0, 1, 2, 4}, one), Error);
  EXPECT_THROW(run({0, 1, 4}, two), Error);
  EXPECT_THROW(run({0, 1, 4}, short_one), Error);
}

}  // namespace
}  // namespace switchyard
