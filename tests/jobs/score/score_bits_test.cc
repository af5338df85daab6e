// Same bits: whatever the number of ranks, the layout, the batches and the exchange's budget.
#include <gtest/gtest.h>

#include "tests/support/score_case.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::datasets;
using test::ScoreCase;

struct Layout {
  const char* dtype;
  int ranks, ep;
  const char *batch_tokens, *exchange_bytes;
};

std::string name_of(const ::testing::TestParamInfo<Layout>& info) {
  const Layout& l = info.param;
  return std::string(l.dtype) + "_ranks" + std::to_string(l.ranks) + "_ep" + std::to_string(l.ep) + "_batch" +
         l.batch_tokens + "_exchange" + l.exchange_bytes;
}

/// One process without MPI, large batches, in each dtype: what all others must equal.
class SameBits : public ::testing::TestWithParam<Layout> {
 protected:
  static void SetUpTestSuite() {
    directory_ = new test::TemporaryDirectory();
    test::write_text_input(*directory_ / "input.h5", 90, 180);
    for (const char* dtype : {"f32", "bf16"}) {
      const ScoreCase alone{*directory_ / "input.h5", *directory_ / (std::string("alone-") + dtype), 0, options(dtype)};
      const auto result = test::score(alone);
      ASSERT_EQ(result.exit_code, 0) << result.err;
    }
  }
  static void TearDownTestSuite() { delete directory_; }

  static std::vector<std::string> options(const std::string& dtype) {
    return {"--dtype", dtype, "--per-token", "--embed", "mean", "--chunk-records", "40"};
  }
  static test::TemporaryDirectory* directory_;
};
test::TemporaryDirectory* SameBits::directory_ = nullptr;

TEST_P(SameBits, AsOneProcess) {
  const Layout& layout = GetParam();
  test::TemporaryDirectory run;
  ScoreCase c{*directory_ / "input.h5", run / "run", layout.ranks, options(layout.dtype)};
  for (const char* option : {"--ep", "--batch-tokens", "--exchange-bytes"}) c.options.emplace_back(option);
  c.options.insert(c.options.end() - 2, std::to_string(layout.ep));
  c.options.insert(c.options.end() - 1, layout.batch_tokens);
  c.options.emplace_back(layout.exchange_bytes);
  const auto result = test::score(c);
  ASSERT_EQ(result.exit_code, 0) << result.err;

  const auto expected = datasets(*directory_ / (std::string("alone-") + layout.dtype) / "results.h5");
  const auto actual = datasets(run / "run/results.h5");
  ASSERT_EQ(expected.size(), 9u);
  for (const auto& [name, bytes] : expected) EXPECT_TRUE(actual.at(name) == bytes) << name << " differs";
}

INSTANTIATE_TEST_SUITE_P(Layouts, SameBits,
                         ::testing::Values(Layout{"f32", 0, 1, "200", "1000000"},
                                           Layout{"f32", 1, 1, "8192", "1000000"},
                                           Layout{"f32", 2, 2, "8192", "1000000"}, Layout{"f32", 3, 3, "512", "1"},
                                           Layout{"f32", 4, 4, "8192", "20000"}, Layout{"f32", 4, 2, "300", "1000000"},
                                           Layout{"f32", 7, 7, "8192", "1000000"},
                                           Layout{"bf16", 2, 1, "512", "1000000"}, Layout{"bf16", 3, 3, "8192", "1000"},
                                           Layout{"bf16", 4, 4, "300", "1000000"},
                                           Layout{"bf16", 7, 7, "1000", "50000"}),
                         name_of);

}  // namespace
}  // namespace switchyard
