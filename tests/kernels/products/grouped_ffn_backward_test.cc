#include "kernels/products/grouped_ffn_backward.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ffn_case.h"
#include "reference/central_difference.h"
#include "reference/ffn_backward.h"
#include "support/expect_error.h"

namespace switchyard {
namespace {

using namespace test;

Tensor transposed(const Tensor& w) {
  const int64_t n = w.view().rows(), k = w.view().row_elements();
  Tensor t({k, n}, DType::f32);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < k; ++j) t.set(j * n + i, static_cast<float>(w.at(i * k + j)));
  return t;
}

std::vector<FfnWeights> transposed(const Experts& experts, const FfnCase& c) {
  std::vector<FfnWeights> result(c.counts.size());
  for (size_t g = 0; g < c.counts.size(); ++g)
    if (c.counts[g] > 0)
      result[g] = {PackedMatrix::pack(transposed(experts.gate_up[g]), c.operand),
                   PackedMatrix::pack(transposed(experts.down[g]), c.operand)};
  return result;
}

/// What goes in, of so many rows; dweight has no data where it is not wanted.
struct Rows {
  Tensor x, d_out, weight;
  Rows(int64_t rows, const FfnCase& c)
      : x(random_tensor({rows, c.d}, c.operand, 1)),
        d_out(random_tensor({rows, c.d}, c.operand, 2)),
        weight(random_tensor({rows}, DType::f32, 3)) {}
};

struct Gradients {
  Tensor scaled_h, d_gate_up, dx, dweight;
  Gradients(int64_t rows, const FfnCase& c)
      : scaled_h(poisoned({rows, c.f}, c.operand)),
        d_gate_up(poisoned({rows, 2 * c.f}, c.operand)),
        dx(poisoned({rows, c.d}, c.output)),
        dweight(poisoned({rows}, DType::f32)) {}
};

std::vector<int64_t> offsets_of(const std::vector<int64_t>& counts) {
  std::vector<int64_t> offsets{0};
  for (const int64_t n : counts) offsets.push_back(offsets.back() + n);
  return offsets;
}

class GroupedFfnBackwardTest : public testing::TestWithParam<FfnCase> {
 protected:
  const FfnCase& c_ = GetParam();
  const std::vector<int64_t> offsets_ = offsets_of(c_.counts);
  const int64_t num_rows_ = offsets_.back();
  const CpuStream stream_{3};
  const Experts experts_ = make_experts(stream_, c_);
  const std::vector<FfnWeights> transposed_ = transposed(experts_, c_);
  const Rows rows_{num_rows_, c_};

  void run(const Gradients& to, ConstView weight, GemmOutput output, View dweight, ConstView gate_up = {}) const {
    grouped_ffn_backward(stream_, rows_.x, rows_.d_out, weight, {offsets_, {}, {}}, experts_.packed, transposed_,
                         c_.activation, output, to.scaled_h, to.d_gate_up, to.dx, dweight, gate_up);
  }
  reference::Ffn<Tensor> ffn_of(size_t g) const {
    return {experts_.gate_up[g], experts_.down[g], c_.biased ? &experts_.gate_up_bias[g] : nullptr,
            c_.biased ? &experts_.down_bias[g] : nullptr};
  }
  void expect_close(const Gradients& got, bool weighted) const {
    const double epsilon = c_.operand == DType::bf16 ? kBFloat16Epsilon : 0;
    std::vector<reference::Bounded> scaled_h, d_gate_up, dx, dweight;
    const auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
    for (size_t g = 0; g < c_.counts.size(); ++g)
      for (int64_t i = offsets_[g]; i < offsets_[g + 1]; ++i) {
        const auto want = reference::ffn_row_backward(rows_.x, rows_.d_out, weighted ? rows_.weight.at(i) : 1, i,
                                                      ffn_of(g), c_.d, c_.f, c_.activation, epsilon);
        append(scaled_h, want.scaled_h), append(d_gate_up, want.d_gate_up), append(dx, want.dx);
        dweight.push_back(want.dweight);
      }
    EXPECT_TRUE(close(got.scaled_h, scaled_h));
    EXPECT_TRUE(close(got.d_gate_up, d_gate_up));
    EXPECT_TRUE(close(got.dx, dx));
    if (weighted) {
      EXPECT_TRUE(close(got.dweight, dweight));
    }
  }
};

TEST_P(GroupedFfnBackwardTest, AgreesWithDoublePrecision) {
  const Gradients got(num_rows_, c_);
  run(got, rows_.weight, GemmOutput::store, got.dweight);
  expect_close(got, true);
}

TEST_P(GroupedFfnBackwardTest, WithoutWeightsTheyAreOnes) {
  const Gradients got(num_rows_, c_);
  run(got, {}, GemmOutput::store, {});
  expect_close(got, false);
}

TEST_P(GroupedFfnBackwardTest, AddsToWhatIsThere) {
  if (c_.output != DType::f32) GTEST_SKIP() << "sums are f32";
  const Gradients stored(num_rows_, c_), added(num_rows_, c_);
  run(stored, rows_.weight, GemmOutput::store, stored.dweight);
  for (int64_t i = 0; i < added.dx.size(); ++i) added.dx.set(i, static_cast<float>(i % 7));
  run(added, rows_.weight, GemmOutput::add, {});
  for (int64_t i = 0; i < stored.dx.size(); ++i)
    stored.dx.data<float>()[i] = static_cast<float>(i % 7) + stored.dx.data<float>()[i];
  EXPECT_TRUE(same_bits(added.dx, stored.dx));
}

// With weights of one scaled_h is what the forward pass multiplies by down.
TEST_P(GroupedFfnBackwardTest, ComputesTheForwardPassesActivationsAgain) {
  if (c_.biased) GTEST_SKIP() << "down's bias is added besides";
  const Gradients got(num_rows_, c_);
  run(got, {}, GemmOutput::store, {});
  const Shape shape{num_rows_, c_.d};
  const Tensor forward(shape, DType::f32), again(shape, DType::f32);
  grouped_ffn(stream_, rows_.x, {offsets_, {}, {}}, experts_.packed, c_.activation, GemmOutput::store, forward);
  for (size_t g = 0; g < c_.counts.size(); ++g)
    if (c_.counts[g] > 0)
      gemm(stream_, got.scaled_h.view().slice(offsets_[g], c_.counts[g]), experts_.packed[g].down, GemmOutput::store,
           again.view().slice(offsets_[g], c_.counts[g]));
  EXPECT_TRUE(same_bits(again, forward));
}

TEST_P(GroupedFfnBackwardTest, FromTheTapeItHasTheSameBits) {
  const Shape shape{num_rows_, c_.d};
  const Tensor forward = poisoned(shape, c_.output), taped = poisoned(shape, c_.output),
               gate_up = poisoned({num_rows_, 2 * c_.f}, DType::f32);
  grouped_ffn(stream_, rows_.x, {offsets_, {}, {}}, experts_.packed, c_.activation, GemmOutput::store, forward);
  grouped_ffn_taped(stream_, rows_.x, {offsets_, {}, {}}, experts_.packed, c_.activation, gate_up, taped);
  EXPECT_TRUE(same_bits(taped, forward));
  const Gradients again(num_rows_, c_), kept(num_rows_, c_);
  run(again, rows_.weight, GemmOutput::store, again.dweight);
  run(kept, rows_.weight, GemmOutput::store, kept.dweight, gate_up);
  EXPECT_TRUE(same_bits(kept.scaled_h, again.scaled_h));
  EXPECT_TRUE(same_bits(kept.d_gate_up, again.d_gate_up));
  EXPECT_TRUE(same_bits(kept.dx, again.dx));
  EXPECT_TRUE(same_bits(kept.dweight, again.dweight));
}

// Rows in any order go in; they come out in another.
TEST_P(GroupedFfnBackwardTest, WhereRowsLieChangesNothing) {
  if (num_rows_ == 0) GTEST_SKIP() << "no rows";
  const Rows spread(num_rows_ + 3, c_);
  std::vector<int32_t> in, out;
  for (int64_t i = 0; i < num_rows_; ++i) {
    in.push_back(static_cast<int32_t>(num_rows_ + 2 - i));
    out.push_back(static_cast<int32_t>((i + num_rows_ / 2) % num_rows_ + 1));
    copy(stream_, spread.x.view().slice(in.back(), 1), rows_.x.view().slice(i, 1));
    copy(stream_, spread.d_out.view().slice(in.back(), 1), rows_.d_out.view().slice(i, 1));
  }
  const Gradients plain(num_rows_, c_), listed(num_rows_, c_);
  const Tensor scattered = poisoned({num_rows_ + 1, c_.d}, c_.output), back = poisoned({num_rows_, c_.d}, c_.output),
               y = poisoned(back.view().shape, c_.output), scattered_y = poisoned(scattered.view().shape, c_.output),
               gate_up = poisoned({num_rows_, 2 * c_.f}, DType::f32), listed_gate_up(gate_up.view().shape, DType::f32);
  const GroupedRows lists{offsets_, in, out};
  const auto in_order = [&](const Tensor& rows) -> const Tensor& {
    for (int64_t i = 0; i < num_rows_; ++i)
      copy(stream_, rows.view().slice(out[static_cast<size_t>(i)], 1), back.view().slice(i, 1));
    return back;
  };
  grouped_ffn_taped(stream_, rows_.x, {offsets_, {}, {}}, experts_.packed, c_.activation, gate_up, y);
  grouped_ffn_taped(stream_, spread.x, lists, experts_.packed, c_.activation, listed_gate_up, scattered_y);
  EXPECT_TRUE(same_bits(listed_gate_up, gate_up));
  EXPECT_TRUE(same_bits(in_order(scattered_y), y));
  run(plain, rows_.weight, GemmOutput::store, plain.dweight);
  for (const ConstView kept : {ConstView{}, ConstView(listed_gate_up)}) {
    grouped_ffn_backward(stream_, spread.x, spread.d_out, rows_.weight, lists, experts_.packed, transposed_,
                         c_.activation, GemmOutput::store, listed.scaled_h, listed.d_gate_up, scattered, listed.dweight,
                         kept);
    EXPECT_TRUE(same_bits(listed.scaled_h, plain.scaled_h));
    EXPECT_TRUE(same_bits(listed.d_gate_up, plain.d_gate_up));
    EXPECT_TRUE(same_bits(in_order(scattered), plain.dx));
    EXPECT_TRUE(same_bits(listed.dweight, plain.dweight));
  }
}

std::string name_of_case(const testing::TestParamInfo<FfnCase>& info) {
  return testing::PrintToString(info.param);
}

// Panels have 512 columns: several of each product, and down's with one or two of gate_up's.
INSTANTIATE_TEST_SUITE_P(
    Shapes, GroupedFfnBackwardTest,
    testing::Values(
        FfnCase{DType::f32, DType::f32, 24, 20, {3, 0, 40, 1}}, FfnCase{DType::f32, DType::f32, 33, 17, {0, 9}},
        FfnCase{DType::f32, DType::f32, 1, 1, {2}}, FfnCase{DType::f32, DType::f32, 16, 300, {5, 2}},
        FfnCase{DType::f32, DType::f32, 520, 8, {0, 0, 140}}, FfnCase{DType::f32, DType::f32, 8, 700, {3}},
        FfnCase{DType::f32, DType::f32, 9, 1100, {2, 1}}, FfnCase{DType::f32, DType::f32, 8, 8, {0, 0}},
        FfnCase{DType::f32, DType::f32, 12, 12, std::vector<int64_t>(300, 1)},
        FfnCase{DType::bf16, DType::bf16, 24, 21, {3, 0, 40, 1}}, FfnCase{DType::bf16, DType::f32, 33, 17, {0, 9}},
        FfnCase{DType::bf16, DType::f32, 1, 1, {2}}, FfnCase{DType::bf16, DType::bf16, 16, 300, {5, 2}},
        FfnCase{DType::bf16, DType::f32, 520, 8, {0, 0, 300}}, FfnCase{DType::bf16, DType::f32, 8, 700, {3}},
        FfnCase{DType::bf16, DType::f32, 96, 80, {130, 0, 70}},
        FfnCase{DType::f32, DType::f32, 24, 20, {3, 0, 40, 1}, true},
        FfnCase{DType::f32, DType::f32, 16, 300, {5, 2}, true, kClamped},
        FfnCase{DType::f32, DType::f32, 9, 1100, {2, 1}, true, kTight},
        FfnCase{DType::bf16, DType::bf16, 24, 21, {3, 0, 40, 1}, true, kClamped},
        FfnCase{DType::bf16, DType::f32, 33, 17, {0, 9}, true, kTight}),
    name_of_case);

class GroupedFfnBackwardRowBits : public testing::TestWithParam<FfnCase> {};

// Together: in whole blocks or in smaller ones, next to other rows and groups.
TEST_P(GroupedFfnBackwardRowBits, DependOnTheRowAndItsExpertAlone) {
  const FfnCase& c = GetParam();
  const CpuStream one(1), three(3);
  const Experts experts = make_experts(one, c);
  const std::vector<FfnWeights> transposes = transposed(experts, c);
  const std::vector<int64_t> offsets = offsets_of(c.counts), alone_offsets{0, 1};
  const int64_t num_rows = offsets.back();
  const Rows rows(num_rows, c);
  const auto run = [&](const Stream& stream, size_t group, std::span<const int64_t> of_groups, int64_t first,
                       const Gradients& to) {
    const int64_t count = of_groups.back();
    const size_t num_groups = of_groups.size() - 1;
    const auto part = [&](View view) { return view.slice(first, count); };
    grouped_ffn_backward(stream, part(rows.x), part(rows.d_out), part(rows.weight), {of_groups, {}, {}},
                         std::span(experts.packed).subspan(group, num_groups),
                         std::span(transposes).subspan(group, num_groups), {}, GemmOutput::store, part(to.scaled_h),
                         part(to.d_gate_up), part(to.dx), part(to.dweight), {});
  };
  const Gradients alone(num_rows, c);
  for (size_t g = 0; g < c.counts.size(); ++g)
    for (int64_t i = offsets[g]; i < offsets[g + 1]; ++i) run(one, g, alone_offsets, i, alone);
  for (const CpuStream* stream : {&one, &three}) {
    const Gradients together(num_rows, c);
    run(*stream, 0, offsets, 0, together);
    EXPECT_TRUE(same_bits(together.scaled_h, alone.scaled_h));
    EXPECT_TRUE(same_bits(together.d_gate_up, alone.d_gate_up));
    EXPECT_TRUE(same_bits(together.dx, alone.dx));
    EXPECT_TRUE(same_bits(together.dweight, alone.dweight));
  }
}

INSTANTIATE_TEST_SUITE_P(Operands, GroupedFfnBackwardRowBits,
                         testing::Values(FfnCase{DType::f32, DType::f32, 65, 30, {139, 60}},
                                         FfnCase{DType::bf16, DType::bf16, 65, 30, {139, 0, 60}},
                                         FfnCase{DType::f32, DType::f32, 64, 40, {139, 60}},
                                         FfnCase{DType::f32, DType::f32, 65, 300, {400, 60}},
                                         FfnCase{DType::bf16, DType::f32, 65, 300, {400, 60}},
                                         FfnCase{DType::f32, DType::f32, 530, 540, {33}}),
                         name_of_case);

// The oracle's formulas against its forward pass.
void expect_slopes(const GatedActivation& activation) {
  constexpr int64_t kDim = 7, kHidden = 5;
  using reference::Values;
  Values x = reference::values_of(random_tensor({kDim}, DType::f32, 1)),
         gate_up = reference::values_of(random_tensor({2 * kHidden, kDim}, DType::f32, 2, 2)),
         down = reference::values_of(random_tensor({kDim, kHidden}, DType::f32, 3));
  const Values d_out = reference::values_of(random_tensor({kDim}, DType::f32, 4));
  double weight = 0.7;
  const Values gate_up_bias = reference::values_of(random_tensor({2 * kHidden}, DType::f32, 5)),
               down_bias = reference::values_of(random_tensor({kDim}, DType::f32, 6));
  const reference::Ffn<Values> w = activation.clamped ? reference::Ffn<Values>{gate_up, down, &gate_up_bias, &down_bias}
                                                      : reference::Ffn<Values>{gate_up, down, nullptr, nullptr};
  const auto loss = [&] {
    const auto y = reference::ffn_row(x, 0, w, kDim, kHidden, activation, 0);
    double sum = 0;
    for (int64_t j = 0; j < kDim; ++j) sum += d_out.at(j) * weight * y[static_cast<size_t>(j)].value;
    return sum;
  };
  const auto slope = [&](Values& of, int64_t i) {
    return reference::central_difference(loss, of.values[static_cast<size_t>(i)]);
  };
  const auto got = reference::ffn_row_backward(x, d_out, weight, 0, w, kDim, kHidden, activation, 0);
  for (int64_t i = 0; i < kDim; ++i) {
    EXPECT_NEAR(got.dx[static_cast<size_t>(i)].value, slope(x, i), 1e-8);
    for (int64_t j = 0; j < 2 * kHidden; ++j)
      EXPECT_NEAR(got.d_gate_up[static_cast<size_t>(j)].value * x.at(i), slope(gate_up, j * kDim + i), 1e-8);
    for (int64_t j = 0; j < kHidden; ++j)
      EXPECT_NEAR(d_out.at(i) * got.scaled_h[static_cast<size_t>(j)].value, slope(down, i * kHidden + j), 1e-8);
  }
  EXPECT_NEAR(got.dweight.value, reference::central_difference(loss, weight), 1e-8);
}

TEST(GroupedFfnBackward, TheOraclesGradientsAreTheForwardPassesSlopes) {
  for (const GatedActivation& activation : {GatedActivation{}, kClamped, kTight}) expect_slopes(activation);
}

TEST(GroupedFfnBackward, WhatDoesNotFitIsRefused) {
  const FfnCase c{DType::bf16, DType::f32, 8, 6, {1, 1}};
  const CpuStream stream;
  const Rows rows(2, c);
  const Gradients to(2, c);
  const std::vector<int64_t> offsets{0, 1, 2};
  const auto refused = [&](std::initializer_list<std::string_view> parts, const auto& change) {
    Experts experts = make_experts(stream, c);
    std::vector<FfnWeights> transposes = transposed(experts, c);
    GatedActivation activation;
    ConstView weight = rows.weight;
    View scaled_h = to.scaled_h, dx = to.dx;
    GemmOutput output = GemmOutput::store;
    change(experts, transposes, activation, weight, scaled_h, dx, output);
    return fails(ExitCode::internal, parts, [&] {
      grouped_ffn_backward(stream, rows.x, rows.d_out, weight, {offsets, {}, {}}, experts.packed, transposes,
                           activation, output, scaled_h, to.d_gate_up, dx, to.dweight, {});
    });
  };
  EXPECT_FALSE(refused({}, [](auto&...) {}));
  EXPECT_TRUE(refused({"clamped at 0"},
                      [](auto&, auto&, GatedActivation& activation, auto&...) { activation.clamped = true; }));
  EXPECT_TRUE(refused({"group 1: biases"}, [&](Experts& experts, auto&...) {
    experts.packed[1].down_bias = moved(stream, Tensor({8}, DType::f32));
  }));
  EXPECT_TRUE(refused({"group 0", "transposed [6, 8]"}, [](auto&, std::vector<FfnWeights>& transposes, auto&...) {
    std::swap(transposes[0].gate_up, transposes[0].down);
  }));
  EXPECT_TRUE(refused({"weight [3]"}, [](auto&, auto&, auto&, ConstView& weight, auto&...) {
    static const Tensor three({3}, DType::f32);
    weight = three;
  }));
  EXPECT_TRUE(refused({"scaled_h f32"}, [](auto&, auto&, auto&, auto&, View& scaled_h, auto&...) {
    static const Tensor f32({2, 6}, DType::f32);
    scaled_h = f32;
  }));
  EXPECT_TRUE(refused({"adds to bf16"}, [](auto&, auto&, auto&, auto&, auto&, View& dx, GemmOutput& output) {
    static const Tensor bf16({2, 8}, DType::bf16);
    dx = bf16;
    output = GemmOutput::add;
  }));
}

}  // namespace
}  // namespace switchyard
