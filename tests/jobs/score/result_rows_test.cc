#include "jobs/score/result_rows.h"

#include <gtest/gtest.h>

#include "tests/support/column_of.h"
#include "tests/support/expect_error.h"

namespace switchyard {
namespace {

using test::column_of;
using test::values_of;

const ResultOptions kAll{true, "last", 2};

ResultRows one_row(double last_logprob) {
  ResultRows rows(kAll);
  const float logprob[] = {-1, static_cast<float>(last_logprob)}, pooled[] = {3, 4};
  const int32_t argmax[] = {5, 6}, target[] = {5, 7};
  rows.append({9, logprob, argmax, target, pooled});
  return rows;
}

TEST(ResultRows, HaveTheColumnsThatTheRunAskedFor) {
  const auto names_of = [](const ResultOptions& options) {
    std::vector<std::string_view> names;
    for (const ColumnValues& values : ResultRows(options).columns) names.push_back(values.column->name);
    return names;
  };
  const std::vector<std::string_view> plain = {"record", "logprob", "tokens", "greedy"};
  EXPECT_EQ(names_of({}), plain);
  const std::vector<std::string_view> all = {"record", "logprob", "tokens", "greedy", "token_logprob", "embedding"};
  EXPECT_EQ(names_of(kAll), all);
}

TEST(ResultRows, ARecordWithNothingToScore) {
  ResultRows rows(ResultOptions{true, "none", 0});
  rows.append({.record = 3});
  EXPECT_EQ(rows.records()[0], 3);
  EXPECT_EQ(values_of<double>(rows, "logprob"), std::vector<double>{0});
  EXPECT_EQ(values_of<int32_t>(rows, "tokens"), std::vector<int32_t>{0});
  EXPECT_EQ(values_of<uint8_t>(rows, "greedy"), std::vector<uint8_t>{1});
  EXPECT_EQ(column_of(rows, "token_logprob").offsets, (std::vector<int64_t>{0, 0}));
  EXPECT_EQ(rows.token_values(), 0);
}

TEST(ResultRows, AVectorOfAnotherWidthIsRefused) {
  ResultRows rows(kAll);
  EXPECT_TRUE(test::fails(ExitCode::internal, {"embedding", "record 3"}, [&] { rows.append({.record = 3}); }));
}

TEST(ResultRows, ADifferenceInAnyColumnIsNamed) {
  EXPECT_EQ(difference(one_row(-0.5), one_row(-0.5)), "");
  EXPECT_EQ(difference(one_row(-0.5), one_row(-2)), "logprob was -1.5, is -3");
  for (size_t i = 0; i < one_row(-2).columns.size(); ++i) {
    ResultRows changed = one_row(-2);
    changed.columns[i].bytes.back() ^= std::byte{1};
    EXPECT_TRUE(difference(one_row(-2), changed).starts_with(changed.columns[i].column->name)) << i;
  }
}

}  // namespace
}  // namespace switchyard
