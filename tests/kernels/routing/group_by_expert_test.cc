#include "kernels/routing/group_by_expert.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "support/device.h"
#include "support/tensor.h"

namespace switchyard {
namespace {

using namespace test;

struct Grouped {
  Grouped(int64_t assignments, int64_t experts)
      : offsets({experts + 1}, DType::i64),
        input_row({assignments}, DType::i32),
        output_row({assignments}, DType::i32),
        total({experts}, DType::i64) {}
  Tensor offsets, input_row, output_row, total;
};

size_t workspace_for(int64_t tokens, int64_t k, int64_t experts) {
  const ConstView expert_of{nullptr, {tokens, k}, DType::i32, Device::cuda};
  return group_by_expert.working_bytes(Device::cuda, expert_of, {}, {}, {},
                                       {nullptr, {experts}, DType::i64, Device::cuda});
}

Tensor chosen_by(int64_t tokens, int64_t k, const std::function<int32_t(int64_t)>& expert) {
  Tensor t({tokens, k}, DType::i32);
  for (int64_t i = 0; i < tokens * k; ++i) t.data<int32_t>()[i] = expert(i);
  return t;
}

int32_t random_expert(uint64_t seed, int64_t i, int64_t experts) {
  return static_cast<int32_t>(random_bits(seed, static_cast<uint64_t>(i)) % static_cast<uint64_t>(experts));
}

/// Against a stable sort; `times` is how often the counts were added.
void check(const Tensor& expert_of, const Grouped& got, int64_t times) {
  const int64_t assignments = expert_of.size(), k = expert_of.view().shape[1], experts = got.total.size();
  const auto* expert = expert_of.data<int32_t>();
  std::vector<int32_t> order(static_cast<size_t>(assignments));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return expert[a] < expert[b]; });
  for (int64_t i = 0; i < assignments; ++i) {
    ASSERT_EQ(got.output_row.data<int32_t>()[i], order[static_cast<size_t>(i)]) << "entry " << i;
    ASSERT_EQ(got.input_row.data<int32_t>()[i], order[static_cast<size_t>(i)] / k) << "entry " << i;
  }
  int64_t offset = 0;
  for (int64_t e = 0; e < experts; ++e) {
    const int64_t count = std::count(expert, expert + assignments, e);
    ASSERT_EQ(got.offsets.data<int64_t>()[e], offset) << "expert " << e;
    ASSERT_EQ(got.total.data<int64_t>()[e], 1000 * e + times * count) << "expert " << e;
    offset += count;
  }
  EXPECT_EQ(got.offsets.data<int64_t>()[experts], assignments);
}

struct GroupingCase {
  int64_t tokens, k, experts;
};

class GroupByExpertTest : public testing::TestWithParam<std::tuple<Device, GroupingCase>> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(std::get<Device>(GetParam())); !why.empty()) GTEST_SKIP() << why;
  }
  void sort_and_check(const Tensor& expert_of) const {
    const auto [tokens, k, experts] = std::get<GroupingCase>(GetParam());
    const TestStream stream(std::get<Device>(GetParam()), 2, workspace_for(tokens, k, experts));
    Grouped got(tokens * k, experts);
    for (int64_t e = 0; e < experts; ++e) got.total.data<int64_t>()[e] = 1000 * e;
    for (int64_t times = 1; times <= 2; ++times) {
      stream.run(group_by_expert, expert_of, got.offsets, got.input_row, got.output_row, got.total);
      check(expert_of, got, times);
    }
  }
};

TEST_P(GroupByExpertTest, SortsStably) {
  const auto [tokens, k, experts] = std::get<GroupingCase>(GetParam());
  sort_and_check(chosen_by(tokens, k, [&](int64_t i) { return random_expert(1, i, experts); }));
}

TEST_P(GroupByExpertTest, AFewExpertsMayHaveEverything) {
  const auto [tokens, k, experts] = std::get<GroupingCase>(GetParam());
  const auto last = static_cast<int32_t>(experts - 1);
  sort_and_check(chosen_by(tokens, k, [&](int64_t) { return last; }));
  sort_and_check(chosen_by(tokens, k, [&](int64_t i) { return i % 7 == 3 ? last / 2 : last; }));
}

// 70000 assignments: more than a block has at least for each of the most blocks, and no multiple of anything.
INSTANTIATE_TEST_SUITE_P(Shapes, GroupByExpertTest,
                         testing::Combine(testing::ValuesIn(kDevices),
                                          testing::Values(GroupingCase{0, 4, 8}, GroupingCase{1, 1, 1},
                                                          GroupingCase{5, 3, 7}, GroupingCase{64, 8, 128},
                                                          GroupingCase{173, 4, 33}, GroupingCase{1000, 8, 128},
                                                          GroupingCase{600, 2, 1024}, GroupingCase{70001, 1, 16})));

TEST(GroupByExpert, ExpertsBeyondTheLastAreRefused) {
  Grouped got(2, 4);
  CpuStream stream;
  for (const int32_t wrong : {-1, 4}) {
    const Tensor expert_of = chosen_by(1, 2, [&](int64_t i) { return i == 0 ? 0 : wrong; });
    EXPECT_THROW(group_by_expert(stream, expert_of, got.offsets, got.input_row, got.output_row, got.total), Error);
  }
}

TEST(GroupByExpert, ATooSmallWorkspaceIsRefused) {
  if (const std::string why = why_skipped(Device::cuda); !why.empty()) GTEST_SKIP() << why;
  const TestStream stream(Device::cuda, 1, workspace_for(100, 8, 16) - 1);
  Grouped got(800, 16);
  EXPECT_THROW(
      stream.run(group_by_expert, Tensor({100, 8}, DType::i32), got.offsets, got.input_row, got.output_row, got.total),
      Error);
}

TEST(GroupByExpert, TheWorkspaceNeverShrinksWithMoreTokens) {
  for (int64_t tokens = 1; tokens < 20000; ++tokens)
    ASSERT_LE(workspace_for(tokens - 1, 8, 128), workspace_for(tokens, 8, 128));
}

}  // namespace
}  // namespace switchyard
