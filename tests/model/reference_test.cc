// Checkpoints of every family and layout against what independent software computes from them
// (tests/data/make_fixtures.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <tuple>

#include "io/hdf5.h"
#include "model/config.h"
#include "tests/model/scoring.h"
#include "tests/support/device.h"

namespace switchyard::test {
namespace {

namespace fs = std::filesystem;

const fs::path kData = SWITCHYARD_TEST_DATA;
constexpr const char* kSmallModels[] = {"qwen3moe-dense",  "qwen3moe-fused",    "qwen3moe-transposed",
                                        "mixtral-sharded", "switchyard-shared", "switchyard-tied"};

fs::path model_path(const std::string& name) {
  return name == "tiny-bytes" ? kData / "../../demo" / name : kData / "models" / name;
}

std::vector<Record> input_of(const std::string& name) {
  return read_records(kData / "references" / name / "input.h5");
}

template <class T>
std::vector<T> read_values(const h5::Reader& file, const std::string& name) {
  const h5::Dataset dataset = file.open(name);
  const int64_t columns = dataset.shape().size() == 2 ? dataset.shape()[1] : 1;
  std::vector<T> values(static_cast<size_t>(dataset.rows() * columns));
  dataset.read<T>(0, std::span(values));
  return values;
}

double attribute_or_zero(const h5::Reader& file, std::string_view name) {
  const auto text = file.attribute(name);
  return text ? std::stod(*text) : 0;
}

/// What is true of one record.
struct ExpectedRecord {
  std::vector<double> logprob, top_gap;  ///< [scored]
  std::vector<bool> sure;                ///< [scored] no router had to choose between near equals up to this prediction
  bool sure_throughout = true;           ///< nor anywhere else in the record
  bool greedy = false;
  std::vector<double> last, mean;  ///< [hidden]
};

struct Expected {
  std::vector<ExpectedRecord> records;
  double f32_max_difference = 0, bf16_mean_difference = 0;  ///< of the software that made it, in these types

  explicit Expected(const fs::path& path, const std::vector<Record>& input) {
    constexpr double kSureMargin = 2e-5;
    const h5::Reader file(path);
    f32_max_difference = attribute_or_zero(file, "f32_max_abs_difference");
    bf16_mean_difference = attribute_or_zero(file, "bf16_mean_abs_difference");
    const auto logprob = read_values<double>(file, "token_logprob/values"),
               gap = read_values<double>(file, "top_gap/values");
    const auto margin = read_values<double>(file, "router_margin/values");
    const auto greedy = read_values<int32_t>(file, "greedy");
    const auto last = read_values<double>(file, "embedding/last"), mean = read_values<double>(file, "embedding/mean");
    const size_t hidden = last.size() / input.size();
    auto next_margin = margin.begin();
    size_t scored = 0;
    for (size_t i = 0; i < input.size(); ++i) {
      ExpectedRecord record;
      double least = std::numeric_limits<double>::infinity();  // margin so far
      const auto length = std::ssize(input[i].tokens);
      for (int64_t t = 0; t < length; ++t) {
        least = std::min(least, *next_margin++);
        if (t + 1 < input[i].context || t + 1 == length) continue;  // the token after it is not scored, or is none
        record.sure.push_back(least >= kSureMargin);
        record.logprob.push_back(logprob.at(scored));
        record.top_gap.push_back(gap.at(scored++));
      }
      record.sure_throughout = least >= kSureMargin;
      record.greedy = greedy.at(i) != 0;
      const auto row = static_cast<ptrdiff_t>(i * hidden), end = static_cast<ptrdiff_t>((i + 1) * hidden);
      record.last.assign(last.begin() + row, last.begin() + end);
      record.mean.assign(mean.begin() + row, mean.begin() + end);
      records.push_back(record);
    }
    EXPECT_EQ(scored, logprob.size());
    EXPECT_EQ(next_margin, margin.end());
  }
};

/// |token log-probability − truth| over all records.
struct Differences {
  double max_sure = 0, mean = 0;
  int64_t tokens = 0, sure = 0;
};

Differences compare_tokens(const Expected& expected, const std::vector<RecordScores>& scores) {
  Differences d;
  for (size_t i = 0; i < scores.size(); ++i) {
    const ExpectedRecord& want = expected.records[i];
    for (size_t t = 0; t < want.logprob.size(); ++t) {
      const double difference = std::abs(static_cast<double>(scores[i].logprob.at(t)) - want.logprob[t]);
      EXPECT_TRUE(std::isfinite(difference)) << "record " << i << ", scored token " << t;
      d.mean += difference;
      ++d.tokens;
      if (!want.sure[t]) continue;
      ++d.sure;
      d.max_sure = std::max(d.max_sure, difference);
    }
  }
  d.mean /= static_cast<double>(d.tokens);
  return d;
}

bool is_greedy(const RecordScores& scores, const Record& record) {
  return std::equal(scores.argmax.begin(), scores.argmax.end(), record.tokens.begin() + record.context,
                    record.tokens.end());
}

/// Records whose every argmax is clear must agree; returns how many of them score anything and are greedy.
int check_greedy(const Expected& expected, const std::vector<Record>& input, const std::vector<RecordScores>& scores,
                 double limit) {
  int followed = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    const ExpectedRecord& want = expected.records[i];
    const bool clear = std::ranges::all_of(want.top_gap, [&](double gap) { return gap > 10 * limit; }) &&
                       std::ranges::all_of(want.sure, [](bool sure) { return sure; });
    if (!clear) continue;
    EXPECT_EQ(is_greedy(scores[i], input[i]), want.greedy) << "record " << i;
    followed += want.greedy && !want.logprob.empty();
  }
  return followed;
}

/// max |got − want| / max |want|
double relative_difference(const std::vector<double>& got, const std::vector<double>& want) {
  double difference = 0, size = 0;
  for (size_t c = 0; c < want.size(); ++c) {
    difference = std::max(difference, std::abs(got.at(c) - want[c]));
    size = std::max(size, std::abs(want[c]));
  }
  return difference / size;
}

void check_embeddings(const Expected& expected, const std::vector<RecordScores>& scores) {
  for (size_t i = 0; i < scores.size(); ++i) {
    const ExpectedRecord& want = expected.records[i];
    if (!want.sure_throughout) continue;
    const std::vector<float>& states = scores[i].states;
    const size_t hidden = want.last.size();
    std::vector<double> mean(hidden), last(states.end() - static_cast<ptrdiff_t>(hidden), states.end());
    for (size_t s = 0; s < states.size(); ++s)
      mean[s % hidden] += static_cast<double>(states[s]) / static_cast<double>(states.size() / hidden);
    EXPECT_LT(relative_difference(last, want.last), 1e-3) << "last, record " << i;
    EXPECT_LT(relative_difference(mean, want.mean), 1e-3) << "mean, record " << i;
  }
}

std::string name_of_case(const std::string& model, DType operand) {
  std::string name = model + "_" + std::string(switchyard::name_of(operand));
  std::ranges::replace(name, '-', '_');
  return name;
}

class Reference : public ::testing::TestWithParam<std::tuple<const char*, DType, int, Device>> {};

TEST_P(Reference, IsMet) {
  const auto& [name, operand, ranks, device] = GetParam();
  if (const std::string why = why_skipped(device); !why.empty()) GTEST_SKIP() << why;
  const std::vector<Record> input = input_of(name);
  const Expected expected(kData / "references" / name / "expected.h5", input);
  const int micro_batches = ranks > 1 ? 2 : 1;
  const auto scores =
      score_records(model_path(name), input,
                    {.operand = operand, .num_ranks = ranks, .micro_batches = micro_batches, .device = device});

  const Differences d = compare_tokens(expected, scores);
  ASSERT_GT(d.tokens, 100);
  EXPECT_GT(static_cast<double>(d.sure), 0.9 * static_cast<double>(d.tokens))
      << "too few tokens with a clear choice of experts";
  if (operand == DType::bf16) {
    EXPECT_LE(d.mean, std::max(0.02, 1.2 * expected.bf16_mean_difference));
    return;
  }
  const double limit = std::max(2e-4, 3 * expected.f32_max_difference);
  EXPECT_LE(d.max_sure, limit);
  if (d.sure == d.tokens) {
    EXPECT_LE(d.mean, 1e-4);
  }
  const int followed = check_greedy(expected, input, scores, limit);
  if (std::string_view(name) != "tiny-bytes") {
    EXPECT_GE(followed, 1) << "no record that is greedy";
  }
  check_embeddings(expected, scores);
}

INSTANTIATE_TEST_SUITE_P(Models, Reference,
                         ::testing::Combine(::testing::Values("qwen3moe-dense", "qwen3moe-fused", "qwen3moe-transposed",
                                                              "mixtral-sharded", "switchyard-shared", "switchyard-tied",
                                                              "tiny-bytes"),
                                            ::testing::Values(DType::f32, DType::bf16), ::testing::Values(1, 3),
                                            ::testing::ValuesIn(kDevices)),
                         [](const auto& each) {
                           return name_of_case(std::get<0>(each.param), std::get<1>(each.param)) + "_" +
                                  std::to_string(std::get<2>(each.param)) + "_" + name_of(std::get<3>(each.param));
                         });

class SameBits : public ::testing::TestWithParam<std::tuple<const char*, DType, Device>> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(device_); !why.empty()) GTEST_SKIP() << why;
    input_ = input_of(name_);
    alone_ = score({.operand = operand_, .records_per_batch = 1}, input_);
  }

  std::vector<RecordScores> score(ScoringRun run, const std::vector<Record>& records) const {
    run.device = device_;
    return score_records(model_path(name_), records, run);
  }
  void expect_same(const ScoringRun& run) const { EXPECT_EQ(first_difference(alone_, score(run, input_)), ""); }

  const std::string name_ = std::get<0>(GetParam());
  const DType operand_ = std::get<1>(GetParam());
  const Device device_ = std::get<2>(GetParam());
  std::vector<Record> input_;
  std::vector<RecordScores> alone_;  ///< by one rank, record after record
};

TEST_P(SameBits, OnAnyNumberOfRanks) {
  for (const int ranks : {2, 3, 4, 7}) {
    SCOPED_TRACE(ranks);
    ASSERT_LE(ranks, read_model_config(model_path(name_)).num_experts);
    expect_same({.operand = operand_, .num_ranks = ranks, .records_per_batch = 1});
    expect_same({.operand = operand_, .num_ranks = ranks, .num_threads = 2, .records_per_batch = 2});
  }
}

TEST_P(SameBits, InAnyBatch) {
  for (const int64_t records : {2, 3, 5, 100}) {
    SCOPED_TRACE(records);
    expect_same({.operand = operand_, .records_per_batch = records});
  }
}

TEST_P(SameBits, BesideOtherNeighbours) {
  std::vector<Record> reversed(input_.rbegin(), input_.rend());
  auto scores = score({.operand = operand_, .num_ranks = 2, .records_per_batch = 3}, reversed);
  std::ranges::reverse(scores);
  EXPECT_EQ(first_difference(alone_, scores), "");
}

TEST_P(SameBits, InAnyNumberOfRounds) {
  for (const int64_t budget : {0, 5'000, 50'000}) {
    SCOPED_TRACE(budget);
    expect_same({.operand = operand_, .num_ranks = 3, .records_per_batch = 3, .exchange_bytes = budget});
  }
}

TEST_P(SameBits, InMicroBatches) {
  for (const int ranks : {1, 3}) {
    SCOPED_TRACE(ranks);
    expect_same({.operand = operand_, .num_ranks = ranks, .records_per_batch = 4, .micro_batches = 2});
    expect_same(
        {.operand = operand_, .num_ranks = ranks, .records_per_batch = 1, .exchange_bytes = 5'000, .micro_batches = 2});
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SameBits,
                         ::testing::Combine(::testing::ValuesIn(kSmallModels),
                                            ::testing::Values(DType::f32, DType::bf16), ::testing::ValuesIn(kDevices)),
                         [](const auto& each) {
                           return name_of_case(std::get<0>(each.param), std::get<1>(each.param)) + "_" +
                                  name_of(std::get<2>(each.param));
                         });

}  // namespace
}  // namespace switchyard::test
