#include "jobs/input/sample.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

class SampleTest : public ::testing::Test {
 protected:
  /// Records of lengths 1 … 50 in turn.
  ScoringInput input(int64_t records, bool joined = false) const {
    ScoringInputWriter writer(directory_ / "input.h5", {.documents = joined});
    for (int64_t r = 0; r < records; ++r) {
      const std::vector<int32_t> tokens(static_cast<size_t>(1 + r % 50), static_cast<int32_t>(r));
      writer.add(tokens, 1, "", "");
      if (joined && r % 3 == 2) writer.end_document();
    }
    writer.finish();
    return ScoringInput(directory_ / "input.h5");
  }
  ScoringInput sample(const ScoringInput& from, int64_t tokens) const {
    EXPECT_TRUE(provide_sample(from, tokens, directory_ / "sample.h5", [] {}));
    return ScoringInput(directory_ / "sample.h5");
  }

  const test::TemporaryDirectory directory_;
};

TEST_F(SampleTest, EveryLengthHasItsShare) {
  const ScoringInput all = input(5000);
  const ScoringInput tenth = sample(all, all.num_tokens() / 10);
  EXPECT_NEAR(static_cast<double>(tenth.num_tokens()), static_cast<double>(all.num_tokens()) / 10,
              0.01 * static_cast<double>(all.num_tokens()));
  std::map<int64_t, int> by_octave;
  for (const auto& record : tenth.records(0, tenth.num_records()))
    ++by_octave[std::bit_width(static_cast<uint64_t>(record.length))];
  for (const auto& [octave, lengths] : std::map<int, int>{{2, 2}, {3, 4}, {4, 8}, {5, 16}, {6, 19}})
    EXPECT_NEAR(by_octave[octave], lengths * 10, 5) << octave;
}

TEST_F(SampleTest, IsTheSameEveryTimeAndKnowsWhereItIsFrom) {
  const ScoringInput all = input(300);
  sample(all, 1000);
  const std::string bytes = test::bytes_of_file(directory_ / "sample.h5");
  EXPECT_FALSE(provide_sample(all, 1000, directory_ / "sample.h5", [] {}));
  const ScoringInput again(directory_ / "sample.h5");
  std::vector<int64_t> tokens;
  const auto records = again.records(0, again.num_records());
  again.tokens(records[3], tokens);
  EXPECT_EQ(again.ids()->read_strings(3, 1).front(), std::to_string(tokens.front()));  // its place in the whole input
}

TEST_F(SampleTest, AFileThatIsThereIsNeverReplaced) {
  const ScoringInput all = input(300);
  sample(all, 1000);
  const std::string bytes = test::bytes_of_file(directory_ / "sample.h5");
  const auto refuses = [&](const ScoringInput& from, int64_t tokens, const std::vector<std::string_view>& parts) {
    return test::fails(ExitCode::mismatch, parts,
                       [&] { provide_sample(from, tokens, directory_ / "sample.h5", [] {}); });
  };
  EXPECT_TRUE(refuses(all, 900, {"sample.h5", "sample_tokens", "1000", "900"}));
  std::filesystem::copy_file(all.path(), directory_ / "moved.h5");
  EXPECT_FALSE(provide_sample(ScoringInput(directory_ / "moved.h5"), 1000, directory_ / "sample.h5", [] {}));
  EXPECT_TRUE(refuses(input(301), 1000, {"sample.h5", "records", "300", "301"}));
  {
    ScoringInputWriter writer(directory_ / "others.h5");  // of the same lengths
    for (int64_t r = 0; r < 300; ++r)
      writer.add(std::vector<int32_t>(static_cast<size_t>(1 + r % 50), static_cast<int32_t>(r + 1)), 1, "", "");
    writer.finish();
  }
  EXPECT_TRUE(refuses(ScoringInput(directory_ / "others.h5"), 1000, {"sample.h5", "other records", "others.h5"}));
  EXPECT_EQ(test::bytes_of_file(directory_ / "sample.h5"), bytes);
  EXPECT_TRUE(test::fails(ExitCode::mismatch, {"input.h5", "other origin"},
                          [&] { provide_sample(all, 1000, directory_ / "input.h5", [] {}); }));
}

TEST_F(SampleTest, OfFewRecordsAClassTheShareIsRightTogether) {
  const ScoringInput all = input(500);  // at most 30 records of a class
  const ScoringInput little = sample(all, all.num_tokens() / 60);
  EXPECT_NEAR(static_cast<double>(little.num_records()), 500.0 / 60, 4);
  EXPECT_TRUE(test::fails(ExitCode::usage, {"--sample-tokens 1:", "500 records"},
                          [&] { provide_sample(all, 1, directory_ / "none.h5", [] {}); }));
  EXPECT_FALSE(std::filesystem::exists(directory_ / "none.h5"));
}

TEST_F(SampleTest, MoreThanThereIsIsAll) {
  const ScoringInput all = input(60);
  EXPECT_EQ(sample(all, 1 << 20).num_records(), 60);
}

TEST_F(SampleTest, DocumentsStayWhole) {
  const ScoringInput all = input(300, true);
  const ScoringInput part = sample(all, all.num_tokens() / 4);
  ASSERT_TRUE(part.joined());
  EXPECT_EQ(part.num_records(), 3 * part.num_documents());
  EXPECT_NEAR(static_cast<double>(part.num_documents()), 25, 10);
}

}  // namespace
}  // namespace switchyard
