// The scoring job on a GPU: against independent references, and the same bits whatever the batches and the ranks.
#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <tuple>

#include "base/device.h"
#include "io/hdf5.h"
#include "tests/support/expected_scores.h"
#include "tests/support/fixture_models.h"
#include "tests/support/score_case.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

using Options = std::vector<std::string>;

/// A model, scored on the GPU with its fixture's input.
class ScoreGpu : public ::testing::TestWithParam<std::tuple<std::string, const char*>> {
 protected:
  void SetUp() override {
    if (num_devices() == 0) GTEST_SKIP() << why_no_devices();
  }

  /// ranks 0: without MPI.
  std::filesystem::path score(const std::string& run, int ranks = 0, const Options& options = {}) {
    ScoreCase c{reference_path(model_) / "input.h5",
                directory_ / run,
                ranks,
                {"--device", "cuda", "--dtype", dtype_, "--per-token", "--embed", "mean"}};
    c.model = model_path(model_);
    c.options.insert(c.options.end(), options.begin(), options.end());
    const ProcessResult result = test::score(c);
    if (result.exit_code != 0) throw std::runtime_error(result.err);
    return directory_ / run / "results.h5";
  }
  void expect_same(const std::filesystem::path& results) {
    const auto expected = datasets(directory_ / "alone" / "results.h5"), actual = datasets(results);
    EXPECT_GT(expected.size(), 5u);
    for (const auto& [name, bytes] : expected) EXPECT_TRUE(actual.at(name) == bytes) << name << " differs";
  }

  const std::string model_ = std::get<0>(GetParam()), dtype_ = std::get<1>(GetParam());
  TemporaryDirectory directory_;
};

using ScoreGpuReference = ScoreGpu;

TEST_P(ScoreGpuReference, IsMet) {
  const auto input = read_records(reference_path(model_) / "input.h5");
  const Expected expected(reference_path(model_) / "expected.h5", input);
  const h5::Reader results(score("run"));
  std::vector<float> logprob(static_cast<size_t>(results.open("token_logprob/values").rows()));
  std::vector<int64_t> offsets(input.size() + 1);
  results.open("token_logprob/values").read(0, std::span(logprob));
  ASSERT_EQ(results.open("token_logprob/offsets").rows(), std::ssize(offsets)) << "records that were rejected";
  results.open("token_logprob/offsets").read(0, std::span(offsets));
  const Differences d = compare_tokens(expected, [&](size_t i) {
    return std::span(logprob).subspan(static_cast<size_t>(offsets[i]),
                                      static_cast<size_t>(offsets[i + 1] - offsets[i]));
  });
  ASSERT_GT(d.tokens, 100);
  RecordProperty("mean_difference", std::to_string(d.mean));
  RecordProperty("largest_difference_where_routing_is_sure", std::to_string(d.max_sure));
  if (dtype_ == "bf16") {
    EXPECT_LE(d.mean, expected.bf16_limit());
  } else {
    EXPECT_LE(d.max_sure, expected.f32_limit());
  }
}

using ScoreGpuBits = ScoreGpu;

TEST_P(ScoreGpuBits, AreTheSameInAnyBatchAndOnRanksThatShareAGpu) {
  score("alone");
  expect_same(score("batches", 0, {"--batch-tokens", "150", "--chunk-records", "3"}));
  expect_same(score("one", 1));
  expect_same(score("two", 2, {"--share-gpu", "--ep", "2"}));
  expect_same(score("four", 4, {"--share-gpu", "--ep", "4", "--exchange-bytes", "20000", "--batch-tokens", "300"}));
  expect_same(score("pairs", 4, {"--share-gpu", "--ep", "2"}));
}

std::string name_of(const ::testing::TestParamInfo<std::tuple<std::string, const char*>>& info) {
  return test_name(std::get<0>(info.param) + "_" + std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(Models, ScoreGpuReference,
                         ::testing::Combine(::testing::ValuesIn(all_models()), ::testing::Values("f32", "bf16")),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Models, ScoreGpuBits,
                         ::testing::Combine(::testing::Values("qwen3moe-dense", "mixtral-sharded", "switchyard-shared"),
                                            ::testing::Values("f32", "bf16")),
                         name_of);

}  // namespace
}  // namespace switchyard::test
