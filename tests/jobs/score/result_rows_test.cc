#include "jobs/score/result_rows.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/column_of.h"
#include "tests/support/expect_error.h"

namespace switchyard {
namespace {

using test::column_of;
using test::values_of;

const ResultOptions kAll{true, "last", 2, true};

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
  const std::vector<std::string_view> all = {"record",        "logprob",  "tokens",   "greedy",
                                             "token_logprob", "token_id", "embedding"};
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

TEST(ResultRows, EveryColumnOfADocumentComesOfItsPieces) {
  ResultRows pieces(kAll), document(kAll);
  const float logprob[] = {-1, -2, -0.5}, pooled[] = {1, 2, 3, 4};
  const int32_t argmax[] = {5, 6, 7}, target[] = {5, 6, 8};
  pieces.append({3, std::span(logprob, 2), std::span(argmax, 2), std::span(target, 2), std::span(pooled, 2)});
  pieces.append({4, std::span(logprob).subspan(2), std::span(argmax).subspan(2), std::span(target).subspan(2),
                 std::span(pooled).subspan(2)});
  pieces.append({5, {}, {}, {}, std::span(pooled, 2)});  // nothing to score
  for (const int64_t row : {0, 1, 2}) document.join(pieces, row);
  ASSERT_EQ(document.columns.size(), 7u) << "a column whose joining is not tested";
  EXPECT_EQ(values_of<int64_t>(document, "record"), std::vector<int64_t>{3});
  EXPECT_EQ(values_of<double>(document, "logprob"), std::vector<double>{-3.5});
  EXPECT_EQ(values_of<int32_t>(document, "tokens"), std::vector<int32_t>{3});
  EXPECT_EQ(values_of<uint8_t>(document, "greedy"), std::vector<uint8_t>{0});
  EXPECT_EQ(values_of<float>(document, "token_logprob"), (std::vector<float>{-1, -2, -0.5}));
  EXPECT_EQ(values_of<int32_t>(document, "token_id"), (std::vector<int32_t>{5, 6, 8}));
  EXPECT_EQ(column_of(document, "token_id").offsets, (std::vector<int64_t>{0, 3}));
  EXPECT_EQ(values_of<float>(document, "embedding"), (std::vector<float>{1, 2}));
  document.renumber_last(17);
  EXPECT_EQ(document.records()[0], 17);

  ResultRows greedy(kAll);
  greedy.join(pieces, 0);
  greedy.join(pieces, 2);
  EXPECT_EQ(values_of<uint8_t>(greedy, "greedy"), std::vector<uint8_t>{1});
}

TEST(ResultRows, TokensThatARowCannotCountAreAnError) {
  ResultRows piece(kAll), document(kAll);
  const float pooled[] = {1, 2};
  piece.append({.record = 0, .pooled = pooled});
  const int32_t most = INT32_MAX - 1;
  std::memcpy(piece.columns[2].bytes.data(), &most, sizeof most);
  document.join(piece, 0);
  EXPECT_TRUE(test::fails_input({"2147483647"}, [&] { document.join(piece, 0); }));
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
