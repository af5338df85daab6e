#include "kernels/grouped_ffn.h"

#include <gtest/gtest.h>

#include <numeric>

#include "reference/ffn.h"
#include "support/compare.h"

namespace switchyard {
namespace {

using namespace test;

struct FfnCase {
  DType operand, output;
  int64_t d, f;
  std::vector<int64_t> counts;  // entries of each group
};

std::ostream& operator<<(std::ostream& os, const FfnCase& c) {
  os << name_of(c.operand) << "_to_" << name_of(c.output) << "_" << c.d << "x" << c.f;
  for (const int64_t n : c.counts) os << "_" << n;
  return os;
}

struct Experts {
  std::vector<Tensor> gate_up, down;
  std::vector<FfnWeights> packed;
};

Experts make_experts(const FfnCase& c) {
  Experts e;
  for (size_t g = 0; g < c.counts.size(); ++g) {
    e.gate_up.push_back(widened(random_tensor({2 * c.f, c.d}, c.operand, 10 + g)));
    e.down.push_back(widened(random_tensor({c.d, c.f}, c.operand, 100 + g)));
    e.packed.emplace_back();
    if (c.counts[g] == 0) continue;  // an empty group's weights are not touched, so they need not exist
    e.packed.back().gate_up = PackedMatrix::pack(e.gate_up.back(), c.operand);
    e.packed.back().down = PackedMatrix::pack(e.down.back(), c.operand);
  }
  return e;
}

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

class GroupedFfnTest : public testing::TestWithParam<FfnCase> {};

TEST_P(GroupedFfnTest, AgreesWithDoublePrecision) {
  const FfnCase c = GetParam();
  const Experts experts = make_experts(c);
  const Tensor x = random_tensor({50, c.d}, c.operand, 1);
  const Routing routing(c.counts, 50);
  Tensor y({routing.offsets.back() + 1, c.d}, c.output);  // one row more than entries: it stays as it is
  CpuStream stream;
  grouped_ffn(stream, x, routing, experts.packed, GemmOutput::store, y);

  std::vector<reference::Bounded> want(static_cast<size_t>(y.size()), reference::Bounded{0, 0});
  for (size_t g = 0; g < c.counts.size(); ++g)
    for (auto i = static_cast<size_t>(routing.offsets[g]); i < static_cast<size_t>(routing.offsets[g + 1]); ++i) {
      const auto row = reference::ffn_row(x, routing.input_row[i], experts.gate_up[g], experts.down[g], c.d, c.f,
                                          c.operand == DType::bf16 ? kBFloat16Epsilon : 0);
      std::copy(row.begin(), row.end(), want.begin() + routing.output_row[i] * c.d);
    }
  EXPECT_TRUE(close(y, want));
}

INSTANTIATE_TEST_SUITE_P(Shapes, GroupedFfnTest,
                         testing::Values(FfnCase{DType::f32, DType::f32, 24, 20, {3, 0, 40, 1}},
                                         FfnCase{DType::f32, DType::bf16, 33, 17, {0, 9}},
                                         FfnCase{DType::f32, DType::f32, 16, 300, {5, 2}},
                                         FfnCase{DType::f32, DType::f32, 520, 8, {0, 0, 140}},
                                         FfnCase{DType::f32, DType::f32, 8, 700, {3}},
                                         FfnCase{DType::f32, DType::f32, 8, 8, {0, 0}},
                                         FfnCase{DType::bf16, DType::bf16, 24, 20, {3, 0, 40, 1}},
                                         FfnCase{DType::bf16, DType::f32, 33, 17, {0, 9}},
                                         FfnCase{DType::bf16, DType::bf16, 16, 300, {5, 2}},
                                         FfnCase{DType::bf16, DType::f32, 520, 8, {0, 0, 300}}),
                         testing::PrintToStringParamName());

class GroupedFfnRowBits : public testing::TestWithParam<DType> {};

// The same row and expert: in a group of any size, at any place, on any number of threads, the same bits.
TEST_P(GroupedFfnRowBits, DependOnTheRowAndItsExpertAlone) {
  const FfnCase c{GetParam(), GetParam(), 65, 300, {400, 60}};
  const Experts experts = make_experts(c);
  const Tensor x = random_tensor({400, c.d}, c.operand, 1);
  Tensor alone({400, c.d}, c.output);
  CpuStream one(1), three(3);
  std::vector<int32_t> row(1);
  const std::vector<int64_t> one_each{0, 1};
  for (int32_t r = 0; r < 400; ++r) {
    row[0] = r;
    grouped_ffn(one, x, {one_each, row, row}, std::span(experts.packed).first(1), GemmOutput::store, alone);
  }
  const Routing routing(c.counts, 400);
  Tensor together({460, c.d}, c.output);
  grouped_ffn(three, x, routing, experts.packed, GemmOutput::store, together);
  for (size_t i = 0; i < 400; ++i)
    ASSERT_TRUE(same_row_bits(together, routing.output_row[i], alone, routing.input_row[i])) << "entry " << i;
}

INSTANTIATE_TEST_SUITE_P(Operands, GroupedFfnRowBits, testing::Values(DType::f32, DType::bf16),
                         [](const auto& param) { return std::string(name_of(param.param)); });

TEST(GroupedFfn, RowsOutsideTheViewsAreRefused) {
  const FfnCase c{DType::f32, DType::f32, 8, 8, {2}};
  const Experts experts = make_experts(c);
  const Tensor x = random_tensor({3, 8}, DType::f32, 1);
  Tensor y({3, 8}, DType::f32);
  CpuStream stream;
  const std::vector<int64_t> offsets{0, 2};
  const std::vector<int32_t> good{0, 1}, beyond{0, 3}, negative{-1, 0};
  EXPECT_THROW(grouped_ffn(stream, x, {offsets, beyond, good}, experts.packed, GemmOutput::store, y), Error);
  EXPECT_THROW(grouped_ffn(stream, x, {offsets, good, negative}, experts.packed, GemmOutput::store, y), Error);
}

}  // namespace
}  // namespace switchyard
