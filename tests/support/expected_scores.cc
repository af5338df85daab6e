#include "tests/support/expected_scores.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "io/hdf5.h"
#include "io/input.h"

namespace switchyard::test {
namespace {

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

}  // namespace

std::vector<Record> read_records(const std::filesystem::path& path) {
  const ScoringInput input(path);
  std::vector<Record> records;
  std::vector<int64_t> tokens;
  for (const ScoringInput::Record& record : input.records(0, input.num_records())) {
    input.tokens(record, tokens);
    records.push_back({{tokens.begin(), tokens.end()}, record.context});
  }
  return records;
}

Expected::Expected(const std::filesystem::path& path, const std::vector<Record>& input) {
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

double Expected::f32_limit() const {
  return std::max(2e-4, 3 * f32_max_difference);
}

double Expected::bf16_limit() const {
  return std::max(0.02, 1.2 * bf16_mean_difference);
}

Differences compare_tokens(const Expected& expected, const std::function<std::span<const float>(size_t i)>& scores) {
  Differences d;
  for (size_t i = 0; i < expected.records.size(); ++i) {
    const ExpectedRecord& want = expected.records[i];
    const std::span<const float> got = scores(i);
    EXPECT_EQ(got.size(), want.logprob.size()) << "record " << i;
    for (size_t t = 0; t < std::min(got.size(), want.logprob.size()); ++t) {
      const double difference = std::abs(static_cast<double>(got[t]) - want.logprob[t]);
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

}  // namespace switchyard::test
