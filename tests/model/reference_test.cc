// Checkpoints of every family and layout against what independent software computes from them
// (tests/data/make_fixtures.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <ostream>
#include <string>
#include <tuple>

#include "model/config/model_config.h"
#include "tests/model/scoring.h"
#include "tests/support/device.h"
#include "tests/support/fixture_models.h"

namespace switchyard::test {
namespace {

std::vector<Record> input_of(const std::string& name) {
  return read_records(reference_path(name) / "input.h5");
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
  return test_name(model + "_" + std::string(switchyard::name_of(operand)));
}

class Reference : public ::testing::TestWithParam<std::tuple<std::string, DType, int, Device>> {};

TEST_P(Reference, IsMet) {
  const auto& [name, operand, ranks, device] = GetParam();
  if (const std::string why = why_skipped(device); !why.empty()) GTEST_SKIP() << why;
  const std::vector<Record> input = input_of(name);
  const Expected expected(reference_path(name) / "expected.h5", input);
  const int micro_batches = ranks > 1 ? 2 : 1;
  const auto scores =
      score_records(model_path(name), input,
                    {.operand = operand, .num_ranks = ranks, .micro_batches = micro_batches, .device = device});

  const Differences d = compare_tokens(expected, [&](size_t i) { return std::span(scores[i].logprob); });
  ASSERT_GT(d.tokens, 100);
  EXPECT_GT(static_cast<double>(d.sure), 0.9 * static_cast<double>(d.tokens))
      << "too few tokens with a clear choice of experts";
  if (operand == DType::bf16) {
    EXPECT_LE(d.mean, expected.bf16_limit());
    return;
  }
  const double limit = expected.f32_limit();
  EXPECT_LE(d.max_sure, limit);
  if (d.sure == d.tokens) {
    EXPECT_LE(d.mean, 1e-4);
  }
  const int followed = check_greedy(expected, input, scores, limit);
  if (name != kBundledModel) {
    EXPECT_GE(followed, 1) << "no record that is greedy";
  }
  check_embeddings(expected, scores);
}

INSTANTIATE_TEST_SUITE_P(Models, Reference,
                         ::testing::Combine(::testing::ValuesIn(all_models()),
                                            ::testing::Values(DType::f32, DType::bf16), ::testing::Values(1, 3),
                                            ::testing::ValuesIn(kDevices)),
                         [](const auto& each) {
                           return name_of_case(std::get<0>(each.param), std::get<1>(each.param)) + "_" +
                                  std::to_string(std::get<2>(each.param)) + "_" +
                                  std::string(name_of(std::get<3>(each.param)));
                         });

class SameBits : public ::testing::TestWithParam<std::tuple<std::string, DType, Device>> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(device_); !why.empty()) GTEST_SKIP() << why;
    input_ = input_of(name_);
    if (device_ != Device::cpu)  // an emulated one is slow
      std::erase_if(input_, [](const Record& record) { return record.tokens.size() > 70; });
    static std::map<std::tuple<std::string, DType, Device>, std::vector<RecordScores>> once;  // for all tests
    std::vector<RecordScores>& alone = once[{name_, operand_, device_}];
    if (alone.empty()) alone = score({.operand = operand_, .records_per_batch = 1}, input_);
    alone_ = alone;
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
    ASSERT_LE(ranks, read_model_config(model_path(name_)).num_experts());
    expect_same({.operand = operand_, .num_ranks = ranks, .records_per_batch = 1});
    expect_same({.operand = operand_, .num_ranks = ranks, .num_threads = 2, .records_per_batch = 2});
  }
}

TEST_P(SameBits, WhereverTheExpertsAre) {
  const auto placements = all_placements();
  for (const int ranks : {1, 2, 3, 4, 7})
    for (size_t i = 1; i < placements.size(); ++i) {  // the first are blocks: all the other tests have them
      // An emulated GPU is slow: there each number of ranks has one of the placements.
      if (device_ != Device::cpu && i != 1 + static_cast<size_t>(ranks) % (placements.size() - 1)) continue;
      SCOPED_TRACE(fmt::format("{} ranks, {}", ranks, placements[i].first));
      expect_same({.operand = operand_,
                   .num_ranks = ranks,
                   .records_per_batch = 2,
                   .exchange_bytes = 20'000,
                   .placement = placements[i].second});
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

/// These go through every kernel that the others go through: enough where computing is slow.
std::vector<std::string> models_of_all_kernels() {
  return {"qwen3moe-dense", "switchyard-shared", "deepseekv3", "glm4moe", "gptoss-mxfp4", "llama4"};
}

std::vector<std::string> models_on_cpu() {
#if defined(__SANITIZE_ADDRESS__)
  return models_of_all_kernels();
#else
  return small_models();
#endif
}

std::string name_of_bits_case(const ::testing::TestParamInfo<SameBits::ParamType>& each) {
  return name_of_case(std::get<0>(each.param), std::get<1>(each.param)) + "_" +
         std::string(name_of(std::get<2>(each.param)));
}

INSTANTIATE_TEST_SUITE_P(Models, SameBits,
                         ::testing::Combine(::testing::ValuesIn(models_on_cpu()),
                                            ::testing::Values(DType::f32, DType::bf16), ::testing::Values(Device::cpu)),
                         name_of_bits_case);
INSTANTIATE_TEST_SUITE_P(DeviceModels, SameBits,
                         ::testing::Combine(::testing::ValuesIn(models_of_all_kernels()),
                                            ::testing::Values(DType::f32, DType::bf16),
                                            ::testing::Values(Device::cuda)),
                         name_of_bits_case);

}  // namespace
}  // namespace switchyard::test
