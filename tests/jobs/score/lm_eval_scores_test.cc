// That texts are scored as by lm-evaluation-harness: from its requests to its metrics.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "jobs/score/results_reader.h"
#include "tests/support/column_of.h"
#include "tests/support/lm_eval_golden.h"
#include "tests/support/score_case.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/texts_of.h"
#include "tokens/nfc.h"

namespace switchyard {
namespace {

using Scores = std::vector<double>;

/// Of sums of log-probabilities, both in f32.
double limit(double expected) {
  return 1e-3 + 1e-5 * std::abs(expected);
}

/// The run is left in the directory.
ResultRows score_lines(const test::TemporaryDirectory& directory, const std::string& lines,
                       const std::vector<std::string>& more, const ResultOptions& results_wanted = {}) {
  std::vector<std::string> options = {"--dtype", "f32", "--special-tokens-in-text"};
  options.insert(options.end(), more.begin(), more.end());
  const test::ProcessResult result =
      test::score({directory.write("records.jsonl", lines), directory / "run", 0, options, test::kLmEvalModel});
  if (result.exit_code != 0) throw std::runtime_error(result.err);
  const ResultsReader results(directory / "run/results.h5", results_wanted);
  return results.read(0, results.rows());
}

void expect_sums(const ResultRows& rows, const std::vector<Json>& expected) {
  const auto found = test::values_of<double>(rows, "logprob");
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    const double sum = expected[i].at("logprob");
    EXPECT_NEAR(found[i], sum, limit(sum)) << expected[i];
  }
}

/// The first of the largest.
int64_t best(const Scores& scores) {
  return std::ranges::max_element(scores) - scores.begin();
}

/// Of a text as Python counts it, in characters.
double length_of(const std::string& text) {
  return static_cast<double>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

struct Accuracies {
  double plain = 0, by_length = 0, mutual_information = 0;
};

/// scores: of all requests of the items, in their order.
Accuracies accuracies_of(const Json& items, const Scores& scores) {
  Accuracies right;
  auto next = scores.begin();
  for (const Json& item : items) {
    const Json& requests = item.at("conditional");
    const auto count = std::ssize(requests);
    const Scores conditional(next, next + count), unconditional(next + count, next + 2 * count);
    next += 2 * count;
    Scores by_length = conditional, mutual_information = conditional;
    for (size_t i = 0; i < conditional.size(); ++i) {
      by_length[i] /= length_of(requests[i].at("continuation"));
      mutual_information[i] -= unconditional[i];
    }
    const int64_t gold = item.at("gold");
    right.plain += best(conditional) == gold;
    right.by_length += best(by_length) == gold;
    right.mutual_information += best(mutual_information) == gold;
  }
  const auto total = static_cast<double>(items.size());
  return {right.plain / total, right.by_length / total, right.mutual_information / total};
}

TEST(LmEvalScores, ChoicesAreItsOwn) {
  const Json golden = test::lm_eval_golden();
  const Json& choices = golden.at("choices");
  const std::vector<Json> requests = test::requests_of(choices.at("items"));
  const test::TemporaryDirectory directory;
  const ResultRows rows = score_lines(directory, test::request_lines(requests), {});
  ASSERT_NO_FATAL_FAILURE(expect_sums(rows, requests));

  const auto greedy = test::values_of<uint8_t>(rows, "greedy");
  for (size_t i = 0; i < greedy.size(); ++i)
    EXPECT_EQ(greedy[i] != 0, requests[i].at("greedy").get<bool>()) << requests[i];
  EXPECT_GE(std::ranges::count(greedy, 1), 3);

  const Accuracies found = accuracies_of(choices.at("items"), test::values_of<double>(rows, "logprob"));
  const Json& metrics = choices.at("metrics");
  EXPECT_NEAR(found.plain, metrics.at("acc").get<double>(), 1e-6);
  EXPECT_NEAR(found.by_length, metrics.at("acc_norm").get<double>(), 1e-6);
  EXPECT_NEAR(found.mutual_information, metrics.at("acc_mutual_info").get<double>(), 1e-6);
}

TEST(LmEvalScores, WindowsOfDocumentsAreJoinedAsItsOwn) {
  const Json golden = test::lm_eval_golden();
  const Json& rolling = golden.at("rolling");
  const std::vector<Json> documents = rolling.at("documents");
  const std::vector<std::string> windows = {"--join",
                                            "--max-tokens",
                                            std::to_string(rolling.at("max_length").get<int64_t>() + 1),
                                            "--bos",
                                            rolling.at("prefix_token").dump(),
                                            "--chunk-records",
                                            "2",
                                            "--with-text"};
  const test::TemporaryDirectory directory;
  const ResultRows rows =
      score_lines(directory, test::lines_of(documents, {"text"}), windows, {.per_token = true, .with_text = true});
  ASSERT_NO_FATAL_FAILURE(expect_sums(rows, documents));
  EXPECT_GT(ScoringInput(directory / "run/input.h5").num_records(), std::ssize(documents));

  double sum = 0, bytes = 0;
  const std::vector<std::string> texts = test::texts_of(rows, directory / "run/results.h5");
  for (size_t i = 0; i < documents.size(); ++i) {
    const std::string text = documents[i].at("text");
    std::string buffer;
    EXPECT_EQ(texts[i], unicode::to_nfc(text, buffer))
        << "all of it, as this tokenizer reads it, comes after the prefix token";
    sum += test::values_of<double>(rows, "logprob")[i];
    bytes += static_cast<double>(text.size());
  }
  EXPECT_NEAR(-sum / bytes / std::log(2), rolling.at("metrics").at("bits_per_byte").get<double>(), 1e-4);
}

}  // namespace
}  // namespace switchyard
