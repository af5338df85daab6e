// A model of numbers: a series becomes tokens, and what is predicted comes as quantiles.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/support/score_case.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::datasets;
using test::expect;
using test::ProcessResult;
using test::ScoreCase;

constexpr int kBins = 12, kLength = 9;

class ScoreNumbers : public ::testing::Test {
 protected:
  ScoreCase at(const std::string& run, const std::string& input, const std::vector<std::string>& more,
               int ranks = 0) const {
    std::vector<std::string> options = {"--dtype", "f32", "--lease-timeout", "1"};
    options.insert(options.end(), more.begin(), more.end());
    return {directory_ / input, directory_ / run, ranks, options};
  }
  std::map<std::string, std::string> results(const std::string& run) const {
    return datasets(directory_ / run / "results.h5");
  }
  template <class T>
  static std::vector<T> values(const std::string& bytes) {
    std::vector<T> result(bytes.size() / sizeof(T));
    std::memcpy(result.data(), bytes.data(), bytes.size());
    return result;
  }
  ProcessResult import(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {SWITCHYARD_PROGRAM, "import"});
    return test::run(arguments);
  }
  void SetUp() override {
    std::string table = "day,y\n";
    for (int i = 0; i < kLength; ++i) table += fmt::format("{},{}\n", i, 0.5 * std::sin(i * 1.3));
    directory_.write("series.csv", table);
  }
  static std::vector<int> tokens() {
    std::vector<int> tokens;
    for (int i = 0; i < kLength; ++i)
      tokens.push_back(
          std::clamp(static_cast<int>(std::floor((0.5 * std::sin(i * 1.3) + 1) * kBins / 2)), 0, kBins - 1));
    return tokens;
  }
  test::TemporaryDirectory directory_;
};

// The same distribution by another way: each bin in turn is scored as the next token.
TEST_F(ScoreNumbers, QuantilesAreThoseOfTheSoftmaxOverBins) {
  const std::string in = (directory_ / "series.csv").string(), out = (directory_ / "series.h5").string();
  const ProcessResult imported =
      import({"--csv", in, "--columns", "y", "--bins", std::to_string(kBins), "--bin-range", "-1:1", "--output", out});
  ASSERT_EQ(imported.exit_code, 0) << imported.err;
  expect(at("run", "series.h5", {"--per-token", "--quantiles", "0.1,0.5,0.9"}), 0);
  auto found = results("run");
  const auto quantiles = values<double>(found["quantiles/values"]);
  const auto logprob = values<double>(found["token_logprob/values"]);
  ASSERT_EQ(quantiles.size(), 3u * (kLength - 1));
  EXPECT_EQ(values<int64_t>(found["quantiles/offsets"]), (std::vector<int64_t>{0, 3 * (kLength - 1)}));

  std::string lines;
  const std::vector<int> series = tokens();
  for (int t = 1; t < kLength; ++t)
    for (int b = 0; b < kBins; ++b)
      lines += fmt::format("{{\"context_tokens\": [{}], \"continuation_tokens\": [{}]}}\n",
                           fmt::join(series.begin(), series.begin() + t, ", "), b);
  directory_.write("each.jsonl", lines);
  expect(at("each", "each.jsonl", {"--tokenizer", "bytes"}), 0);
  auto of_each = results("each");
  const auto each = values<double>(of_each["logprob"]);
  ASSERT_EQ(each.size(), static_cast<size_t>(kBins) * (kLength - 1));
  for (size_t t = 0; t + 1 < kLength; ++t) {
    std::vector<double> share(kBins);
    double total = 0;
    for (size_t b = 0; b < kBins; ++b) total += share[b] = std::exp(each[t * kBins + b]);
    EXPECT_NEAR(logprob[t], each[t * kBins + static_cast<size_t>(series[t + 1])], 1e-5);
    const double levels[] = {0.1, 0.5, 0.9};
    for (size_t q = 0; q < 3; ++q) {
      const double place = (quantiles[t * 3 + q] + 1) * kBins / 2;
      double below = 0;
      for (size_t b = 0; b < kBins; ++b) below += share[b] * std::clamp(place - static_cast<double>(b), 0.0, 1.0);
      EXPECT_NEAR(below / total, levels[q], 2e-5) << t;
    }
  }

  // The same bits on three ranks, from text too, and beside nothing else; and they can be read.
  const std::vector<std::string> text = {
      "--columns", "y", "--tokenizer", fmt::format("bins:{}:-1:1", kBins), "--quantiles", "0.1,0.5,0.9", "--with-text"};
  expect(at("text", "series.csv", text, 3), 0);
  auto read = results("text");
  EXPECT_EQ(read["quantiles/values"], found["quantiles/values"]);
  std::string pieces;
  for (const int64_t byte : values<int64_t>(read["piece/values"])) pieces += static_cast<char>(byte);
  EXPECT_NE(pieces.find(" -0.0833333"), std::string::npos) << pieces;
  const ProcessResult verified = test::run({SWITCHYARD_PROGRAM, "verify", (directory_ / "run").string()});
  EXPECT_EQ(verified.exit_code, 0) << verified.err;
}

TEST_F(ScoreNumbers, RefusesByName) {
  const std::vector<std::string> bins = {"--columns", "y", "--tokenizer", "bins:12:-1:1"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), bins.begin(), bins.end());
    return more;
  };
  for (const char* levels : {"0.5,0.1", "0", "1", "0.1,,0.5", "0.5,", "x", "0.5 "})
    expect(at("bad", "series.csv", with({"--quantiles", levels})), 64, {"--quantiles", levels, "rising"});
  directory_.write("text.txt", "words");
  expect(at("words", "text.txt", {"--quantiles", "0.5", "--tokenizer", "bytes"}), 64,
         {"--quantiles", "expected numbers", "bytes"});
  expect(at("many", "series.csv", {"--columns", "y", "--tokenizer", "bins:300:-1:1", "--quantiles", "0.5"}), 66,
         {"300 ids", "257"});
  expect(at("run", "series.csv", with({"--quantiles", "0.5"})), 0);
  expect(at("run", "series.csv", with({"--quantiles", "0.4"})), 78, {"quantiles", "0.5", "0.4"});
  expect(at("run", "series.csv", bins), 78, {"quantiles", "0.5", "none"});

  directory_.write("hole.csv", "y\n0.1\n-\n");
  const auto names = [](const ProcessResult& result, int code, const char* part) {
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << part << " is not in: " << result.err;
  };
  const std::string hole = (directory_ / "hole.csv").string(), out = (directory_ / "hole.h5").string();
  names(import({"--csv", hole, "--columns", "y", "--bins", "8", "--bin-range", "0:1", "--output", out}), 66,
        "hole.csv:3: column \"y\": expected a number, found \"-\"");
  EXPECT_FALSE(std::filesystem::exists(out));
  names(import({"--csv", hole, "--columns", "y", "--bins", "8", "--output", out}), 64, "--bin-range");
  names(import({"--csv", hole, "--columns", "y", "--output", out}), 64, "--columns: numbers become tokens by bins");
  names(import({"--jsonl", hole, "--columns", "y", "--bins", "8", "--bin-range", "0:1", "--output", out}), 64,
        "jsonl, which has no columns");
}

}  // namespace
}  // namespace switchyard
