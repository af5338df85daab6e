#include "kernels/products/grouped_ffn.h"

#include <gtest/gtest.h>

#include "ffn_case.h"
#include "reference/ffn.h"
#include "support/expect_error.h"

namespace switchyard {
namespace {

using namespace test;

/// Entry i takes row (7 i) mod n of x, so that rows repeat between groups, and goes to row m − 1 − i of y.
struct Routing {
  std::vector<int64_t> offsets{0};
  std::vector<int32_t> input_row, output_row;
  Routing(const std::vector<int64_t>& counts, int64_t num_inputs) {
    for (const int64_t n : counts) offsets.push_back(offsets.back() + n);
    for (int64_t i = 0; i < offsets.back(); ++i) {
      input_row.push_back(static_cast<int32_t>(7 * i % num_inputs));
      output_row.push_back(static_cast<int32_t>(offsets.back() - 1 - i));
    }
  }
  operator GroupedRows() const { return {offsets, input_row, output_row}; }
};

/// Every row's result by the oracle; rows of y that no entry goes to are zero.
std::vector<reference::Bounded> expected(const FfnCase& c, const Experts& experts, const Tensor& x,
                                         const GroupedRows& rows, int64_t num_outputs) {
  const auto row_of = [](std::span<const int32_t> list, size_t i) {
    return list.empty() ? static_cast<int64_t>(i) : list[i];
  };
  std::vector<reference::Bounded> want(static_cast<size_t>(num_outputs * c.d), reference::Bounded{0, 0});
  for (size_t g = 0; g < c.counts.size(); ++g)
    for (auto i = static_cast<size_t>(rows.offsets[g]); i < static_cast<size_t>(rows.offsets[g + 1]); ++i) {
      const reference::Ffn<Tensor> w{experts.gate_up[g], experts.down[g], c.biased ? &experts.gate_up_bias[g] : nullptr,
                                     c.biased ? &experts.down_bias[g] : nullptr};
      const auto row = reference::ffn_row(x, row_of(rows.input_row, i), w, c.d, c.f, c.activation,
                                          c.operand == DType::bf16 ? kBFloat16Epsilon : 0);
      std::copy(row.begin(), row.end(), want.begin() + row_of(rows.output_row, i) * c.d);
    }
  return want;
}

class GroupedFfnTest : public testing::TestWithParam<std::tuple<Device, FfnCase>> {
  void SetUp() override {
    if (const std::string why = why_skipped(std::get<Device>(GetParam())); !why.empty()) GTEST_SKIP() << why;
  }
};

TEST_P(GroupedFfnTest, AgreesWithDoublePrecision) {
  const auto& [device, c] = GetParam();
  const TestStream stream(device);
  const Experts experts = make_experts(stream, c);
  const Tensor x = random_tensor({50, c.d}, c.operand, 1);
  const Routing routing(c.counts, 50);
  Tensor y({routing.offsets.back() + 1, c.d}, c.output);  // one row more than entries: it stays as it is
  stream.run(grouped_ffn, x, routing, experts.packed, c.activation, GemmOutput::store, y);
  EXPECT_TRUE(close(y, expected(c, experts, x, routing, y.view().rows())));
}

// A dense FFN: one group, entries are rows. Added, as a residual is, to a tensor that has values.
TEST_P(GroupedFfnTest, EntriesAreRowsWithoutLists) {
  const auto& [device, c] = GetParam();
  const TestStream stream(device);
  const Experts experts = make_experts(stream, c);
  const std::vector<int64_t> offsets = Routing(c.counts, 1).offsets;
  const GroupedRows rows{offsets, {}, {}};
  const Tensor x = random_tensor({offsets.back(), c.d}, c.operand, 1);
  const Shape shape{offsets.back(), c.d};
  Tensor y(shape, DType::f32), sum = random_tensor(shape, DType::f32, 3), want = random_tensor(shape, DType::f32, 3);
  stream.run(grouped_ffn, x, rows, experts.packed, c.activation, GemmOutput::store, y);
  EXPECT_TRUE(close(y, expected(c, experts, x, rows, offsets.back())));
  stream.run(grouped_ffn, x, rows, experts.packed, c.activation, GemmOutput::add, sum);
  for (int64_t i = 0; i < want.size(); ++i) want.data<float>()[i] += y.data<float>()[i];
  EXPECT_TRUE(same_bits(sum, want));
}

// One expert of one hidden value: y = activation(x, x).
TEST_P(GroupedFfnTest, ExtremeGatesNeitherOverflowNorVanish) {
  const auto& [device, c] = GetParam();
  const TestStream stream(device);
  const auto matrix = [&](std::initializer_list<float> values, const Shape& shape) {
    Tensor t(shape, DType::f32);
    std::copy(values.begin(), values.end(), t.data<float>());
    return t;
  };
  std::vector<FfnWeights> weights(1);
  weights[0].gate_up = PackedMatrix::pack(stream, matrix({1, 1}, {2, 1}), c.operand, RowOrder::gate_up);
  weights[0].down = PackedMatrix::pack(stream, matrix({1}, {1, 1}), c.operand);
  synchronize(stream);
  const std::vector<int64_t> offsets{0, 3};
  Tensor x({3, 1}, c.operand), y({3, 1}, DType::f32);
  x.set(0, 1e15f), x.set(1, -1e4f), x.set(2, NAN);
  stream.run(grouped_ffn, x, GroupedRows{offsets, {}, {}}, weights, GatedActivation{}, GemmOutput::store, y);
  EXPECT_NEAR(y.at(0) / 1e30, 1, 0.02);
  EXPECT_NEAR(y.at(1), 0, 1e-29);
  EXPECT_TRUE(std::isnan(y.at(2)));
  stream.run(grouped_ffn, x, GroupedRows{offsets, {}, {}}, weights, kClamped, GemmOutput::store, y);
  EXPECT_NEAR(y.at(0), 8 * 7 / (1 + std::exp(-1.702 * 7)), 0.01);
  EXPECT_NEAR(y.at(1), 0, 1e-29);
  EXPECT_TRUE(std::isnan(y.at(2)));
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, GroupedFfnTest,
    testing::Combine(
        testing::ValuesIn(kDevices),
        testing::Values(
            FfnCase{DType::f32, DType::f32, 24, 20, {3, 0, 40, 1}}, FfnCase{DType::f32, DType::bf16, 33, 17, {0, 9}},
            FfnCase{DType::f32, DType::f32, 16, 300, {5, 2}}, FfnCase{DType::f32, DType::f32, 520, 8, {0, 0, 140}},
            FfnCase{DType::f32, DType::f32, 8, 700, {3}}, FfnCase{DType::f32, DType::f32, 8, 8, {0, 0}},
            FfnCase{DType::f32, DType::f32, 12, 12, std::vector<int64_t>(500, 1)},
            FfnCase{DType::f32, DType::f32, 24, 21, {3, 0, 40, 1}, true},
            FfnCase{DType::f32, DType::bf16, 33, 17, {0, 9}, true, kTight},
            FfnCase{DType::f32, DType::f32, 16, 300, {5, 2}, true, kTight},
            FfnCase{DType::f32, DType::f32, 520, 8, {0, 70}, true, kClamped},
            FfnCase{DType::f32, DType::f32, 520, 40, {70}, false, kClamped},
            FfnCase{DType::f32, DType::f32, 8, 8, {0, 0}, true, kClamped},
            FfnCase{DType::f32, DType::f32, 12, 12, std::vector<int64_t>(300, 1), true, kTight},
            FfnCase{DType::bf16, DType::f32, 16, 12, std::vector<int64_t>(300, 1), true, kTight},
            FfnCase{DType::bf16, DType::bf16, 24, 21, {3, 0, 40, 1}, true},
            FfnCase{DType::bf16, DType::f32, 33, 17, {0, 9}, true, kTight},
            FfnCase{DType::bf16, DType::bf16, 16, 300, {5, 2}, true, kTight},
            FfnCase{DType::bf16, DType::f32, 520, 8, {0, 70}, true, kClamped},
            FfnCase{DType::bf16, DType::f32, 96, 80, {130, 0, 70}, true, kClamped},
            FfnCase{DType::bf16, DType::bf16, 24, 20, {3, 0, 40, 1}}, FfnCase{DType::bf16, DType::f32, 33, 17, {0, 9}},
            FfnCase{DType::bf16, DType::bf16, 16, 300, {5, 2}}, FfnCase{DType::bf16, DType::f32, 520, 8, {0, 0, 300}},
            FfnCase{DType::bf16, DType::f32, 96, 80, {130, 0, 70}})),
    name_of_parameters<FfnCase>);

class GroupedFfnRowBits : public GroupedFfnTest {};

// The same row and expert: in a group of any size, at any place, on any number of threads, the same bits.
TEST_P(GroupedFfnRowBits, DependOnTheRowAndItsExpertAlone) {
  const auto& [device, c] = GetParam();
  const TestStream one(device, 1), three(device, 3);
  const int64_t num_rows = c.counts[0];
  const Experts experts = make_experts(one, c);
  const Tensor x = random_tensor({num_rows, c.d}, c.operand, 1);
  Tensor alone({num_rows, c.d}, c.output);
  std::vector<int32_t> row(1);
  const std::vector<int64_t> one_each{0, 1};
  for (int32_t r = 0; r < num_rows; ++r) {
    row[0] = r;
    one.run(grouped_ffn, x, GroupedRows{one_each, row, row}, std::span(experts.packed).first(1), c.activation,
            GemmOutput::store, alone);
  }
  const Routing routing(c.counts, num_rows);
  for (const TestStream* stream : {&one, &three}) {  // in whole blocks, and in smaller ones
    Tensor together({routing.offsets.back(), c.d}, c.output);
    stream->run(grouped_ffn, x, routing, experts.packed, c.activation, GemmOutput::store, together);
    for (size_t i = 0; i < static_cast<size_t>(num_rows); ++i)
      ASSERT_TRUE(same_row_bits(together, routing.output_row[i], alone, routing.input_row[i])) << "entry " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Operands, GroupedFfnRowBits,
    testing::Combine(testing::ValuesIn(kDevices),
                     testing::Values(FfnCase{DType::f32, DType::f32, 65, 30, {139, 60}},
                                     FfnCase{DType::bf16, DType::bf16, 65, 30, {139, 60}},
                                     FfnCase{DType::f32, DType::f32, 64, 40, {139, 60}},
                                     FfnCase{DType::bf16, DType::f32, 64, 40, {139, 60}},
                                     FfnCase{DType::f32, DType::f32, 64, 30, {139, 60}, true, kTight},
                                     FfnCase{DType::bf16, DType::bf16, 64, 30, {139, 60}, true, kTight})),
    name_of_parameters<FfnCase>);

INSTANTIATE_TEST_SUITE_P(LargeGroups, GroupedFfnRowBits,
                         testing::Combine(testing::Values(Device::cpu),
                                          testing::Values(FfnCase{DType::f32, DType::f32, 65, 300, {400, 60}},
                                                          FfnCase{DType::bf16, DType::bf16, 65, 300, {400, 60}})),
                         name_of_parameters<FfnCase>);

// Results, and products that are kept, of more bytes than caches hold are written past them: the same bits, in the same
// places.
TEST(GroupedFfn, AsManyResultsAsNoCacheHoldsAreTheSame) {
  constexpr int64_t kRows = 4200, kParts = 4;
  const TestStream stream(Device::cpu);
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const auto& [d, f] : {std::pair<int64_t, int64_t>{1024, 8}, {1020, 8}, {32, 256}}) {
      const FfnCase c{dtype, dtype, d, f, {kRows}};
      const Experts experts = make_experts(stream, c);
      const Tensor x = random_tensor({kRows, d}, dtype, 1);
      const Routing routing(c.counts, kRows);
      Tensor all = poisoned({kRows, d}, dtype), parts = poisoned({kRows, d}, dtype),
             kept = poisoned({kRows, 2 * f}, DType::f32), kept_parts = poisoned({kRows, 2 * f}, DType::f32);
      grouped_ffn_taped(stream, x, routing, experts.packed, c.activation, kept, all);
      for (int64_t part = 0; part < kParts; ++part) {
        const int64_t first = kRows * part / kParts, count = kRows * (part + 1) / kParts - first;
        const std::vector<int64_t> offsets{0, count};
        const auto input = std::span(routing.input_row).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
        std::vector<int32_t> output;
        for (int64_t i = first; i < first + count; ++i)
          output.push_back(routing.output_row[static_cast<size_t>(i)] - static_cast<int32_t>(kRows - first - count));
        grouped_ffn_taped(stream, x, GroupedRows{offsets, input, output}, experts.packed, c.activation,
                          kept_parts.view().slice(first, count), parts.view().slice(kRows - first - count, count));
      }
      EXPECT_TRUE(same_bits(all, parts)) << name_of(dtype) << " rows of " << d;
      EXPECT_TRUE(same_bits(kept, kept_parts)) << name_of(dtype) << " products of " << f;
    }
}

TEST(GroupedFfn, RowsOutsideTheViewsAreRefused) {
  const FfnCase c{DType::f32, DType::f32, 8, 8, {2}};
  CpuStream stream;
  const Experts experts = make_experts(stream, c);
  const Tensor x = random_tensor({3, 8}, DType::f32, 1);
  Tensor y({3, 8}, DType::f32);
  const std::vector<int64_t> offsets{0, 2};
  const std::vector<int32_t> good{0, 1}, beyond{0, 3}, negative{-1, 0};
  EXPECT_THROW(grouped_ffn(stream, x, {offsets, beyond, good}, experts.packed, {}, GemmOutput::store, y), Error);
  EXPECT_THROW(grouped_ffn(stream, x, {offsets, good, negative}, experts.packed, {}, GemmOutput::store, y), Error);
}

class GroupedFfnRefuses : public testing::TestWithParam<Device> {};

TEST_P(GroupedFfnRefuses, BiasesOfSomeGroupsOrOfAnotherLengthAndLimitsThatAreNone) {
  if (const std::string why = why_skipped(GetParam()); !why.empty()) GTEST_SKIP() << why;
  const FfnCase c{DType::f32, DType::f32, 8, 6, {1, 1}, true};
  const TestStream stream(GetParam());
  const Tensor x = random_tensor({2, 8}, DType::f32, 1), y({2, 8}, DType::f32);
  const auto run = [&](const Experts& experts, const GatedActivation& activation) {
    stream.run(grouped_ffn, x, Routing(c.counts, 2), experts.packed, activation, GemmOutput::store, y);
  };
  Experts experts = make_experts(stream, c);
  EXPECT_NO_THROW(run(experts, kClamped));
  EXPECT_TRUE(fails(ExitCode::internal, {"clamped at 0"}, [&] { run(experts, {.clamped = true, .alpha = 1}); }));
  experts.packed[1].down_bias = {};
  EXPECT_TRUE(fails(ExitCode::internal, {"group 1", "biases"}, [&] { run(experts, {}); }));
  experts = make_experts(stream, c);
  experts.packed[0].gate_up_bias = moved(stream, Tensor({6}, DType::f32));
  EXPECT_TRUE(fails(ExitCode::internal, {"group 0", "biases"}, [&] { run(experts, {}); }));
}

INSTANTIATE_TEST_SUITE_P(Devices, GroupedFfnRefuses, testing::ValuesIn(kDevices), testing::PrintToStringParamName());

}  // namespace
}  // namespace switchyard
