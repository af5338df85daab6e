#include "jobs/input/training_data.h"

#include <gtest/gtest.h>

#include <fstream>
#include <numeric>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

constexpr TrainingData::Limits kLimits{.max_positions = 12, .vocab_size = 100};

struct TestRecord {
  std::vector<int32_t> tokens;
  int32_t context = 1;
};

class TrainingDataTest : public ::testing::Test {
 protected:
  ScoringInput write(const std::string& name, const std::vector<TestRecord>& records) const {
    ScoringInputWriter writer(directory_ / name);
    for (const TestRecord& record : records) writer.add(record.tokens, record.context, "", "");
    writer.finish();
    return ScoringInput(directory_ / name);
  }
  /// Of these records alone, as a world of one sees it.
  TrainingData data(const std::vector<TestRecord>& records, const TrainingData::Limits& limits = kLimits) const {
    std::vector<ScoringInput> inputs;
    inputs.push_back(write("input.h5", records));
    return {*make_self_communicator(), std::move(inputs), limits};
  }

  /// All that there is, twice; 3, 4, 7 and 9 of them have something to learn.
  static std::vector<TestRecord> all_kinds() {
    const std::vector<int32_t> longest(12, 5), too_long(13, 5);
    return {{{}, 1},  {{1, 2, 3}, 0}, {{1, 2, 3}, 4}, {{1, 2, 3}, 1},    {longest, 11},      {too_long, 1},
            {{7}, 1}, {{98, 99}, 1},  {{1, 100}, 1},  {{4, 5, 6, 7}, 2}, {{4, -1, 6, 7}, 4}, {{4, 5}, 2}};
  }
  test::TemporaryDirectory directory_;
};

TEST_F(TrainingDataTest, HasTheRecordsThatHaveTokensToScore) {
  const TrainingData found = data(all_kinds());
  EXPECT_EQ(found.sizes(), (std::vector<int64_t>{4}));
  const TrainingData::Dataset& d = found.datasets().front();
  EXPECT_EQ(d.rejects, 6);
  EXPECT_EQ(found.rejects(), 6);
  EXPECT_EQ(d.nothing_to_score, 2);
  EXPECT_EQ(d.tokens, 2 + 11 + 1 + 3);
  const std::vector<size_t> kept = {3, 4, 7, 9};
  for (size_t i = 0; i < kept.size(); ++i) {
    const TestRecord expected = all_kinds()[kept[i]];
    const RecordPlace place{0, static_cast<int64_t>(i)};
    EXPECT_EQ(found.tokens(place), std::ssize(expected.tokens) - 1);
    const TrainingRecord record = found.read(place);
    EXPECT_EQ(record.tokens, expected.tokens);
    EXPECT_EQ(record.context, expected.context);
  }
}

TEST_F(TrainingDataTest, HasNoRecordsLongerThanAskedFor) {
  const std::vector<TestRecord> records = {{{1, 2, 3, 4}, 1}, {{5, 6, 7}, 1}};
  EXPECT_EQ(data(records, {.max_positions = 4, .max_tokens = 4, .vocab_size = 100}).sizes(), (std::vector<int64_t>{2}));
  EXPECT_EQ(data(records, {.max_positions = 4, .max_tokens = 3, .vocab_size = 100}).sizes(), (std::vector<int64_t>{1}));
  EXPECT_TRUE(test::fails_input({"record 0: 4 tokens", "--max-tokens", "2"},
                                [&] { data(records, {.max_positions = 4, .max_tokens = 2, .vocab_size = 100}); }));
  EXPECT_TRUE(test::fails_input({"record 0: 4 tokens", "2 positions"},
                                [&] { data(records, {.max_positions = 2, .max_tokens = 9, .vocab_size = 100}); }));
}

TEST_F(TrainingDataTest, IsToldByItsHash) {
  const std::vector<TestRecord> base = {{{1, 2, 3, 4}, 2}, {{5, 6}, 1}, {{7, 8, 9}, 1}};
  const Hash128 hash = data(base).hash();
  const auto changed = [&](const std::function<void(std::vector<TestRecord>&)>& change) {
    std::vector<TestRecord> records = base;
    change(records);
    return data(records).hash() != hash;
  };
  EXPECT_FALSE(changed([](auto&) {}));
  EXPECT_TRUE(changed([](auto& r) { r[1].tokens[1] = 7; }));
  EXPECT_TRUE(changed([](auto& r) { r[0].context = 3; }));
  EXPECT_TRUE(changed([](auto& r) { std::swap(r[0], r[1]); }));
  EXPECT_TRUE(changed([](auto& r) { r.push_back({{}, 1}); }));
  EXPECT_NE(data(base, {.max_positions = 12, .max_tokens = 3, .vocab_size = 100}).hash(), hash)
      << "other records are kept";
  EXPECT_EQ(data(base, {.max_positions = 4, .vocab_size = 10}).hash(), hash) << "the same are";
}

TEST_F(TrainingDataTest, WithoutAnythingToLearnIsRefused) {
  EXPECT_TRUE(test::fails_input({"input.h5", "found none", "0 records"}, [&] { data({}); }));
  EXPECT_TRUE(test::fails_input({"input.h5", "3 records", "3 of them", "nothing but context"}, [&] {
    data({{{1}, 1}, {{1, 2}, 2}, {{1, 2, 3}, 3}});
  }));
  EXPECT_TRUE(test::fails_input({"2 of its 2 records are rejected", "record 0: token 1 is 300", "100"}, [&] {
    data({{{1, 300}, 1}, {{}, 1}});
  }));
  // One of several files, too.
  std::vector<ScoringInput> inputs;
  inputs.push_back(write("some.h5", {{{1, 2}, 1}}));
  inputs.push_back(write("masked.h5", {{{1, 2}, 2}}));
  EXPECT_TRUE(
      test::fails_input({"masked.h5"}, [&] { TrainingData(*make_self_communicator(), std::move(inputs), kLimits); }));
}

TEST_F(TrainingDataTest, AStepsTokensAreThoseOfItsFilesByWeight) {
  std::vector<ScoringInput> inputs;
  inputs.push_back(write("short.h5", {{{1, 2}, 1}, {{1, 2, 3, 4}, 1}, {{1}, 1}}));  // 2 on average
  inputs.push_back(write("long.h5", {{std::vector<int32_t>(12, 1), 1}}));           // 11
  const TrainingData found(*make_self_communicator(), std::move(inputs), kLimits);
  EXPECT_EQ(found.sizes(), (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(found.mean_step_tokens(6, {}), 6 * (1 + 3 + 11) / 3);
  EXPECT_EQ(found.mean_step_tokens(8, std::vector<double>{1, 3}), 8 / 4 * (2 + 3 * 11));
  EXPECT_EQ(found.tokens({1, 0}), 11);
  EXPECT_EQ(found.read({1, 0}).tokens.size(), 12u);
}

TEST_F(TrainingDataTest, ARecordThatChangedMeanwhileIsNoticed) {
  constexpr size_t kLong = 1 << 17;  // more of them than HDF5 keeps of what it has read
  std::vector<TestRecord> records(50, {std::vector<int32_t>(kLong, 5), 1});
  records[0] = {{71, 72, 73, 74}, 1};
  const TrainingData found = data(records, {.max_positions = kLong, .vocab_size = 100});
  const std::string path = directory_ / "input.h5", bytes = test::bytes_of_file(path);
  const int32_t tokens[] = {71, 72, 73, 74}, wrong = 1 << 20;
  const size_t at = bytes.find(std::string(reinterpret_cast<const char*>(tokens), sizeof tokens));
  ASSERT_NE(at, std::string::npos);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(at + 8));
  file.write(reinterpret_cast<const char*>(&wrong), sizeof wrong);
  file.close();
  EXPECT_TRUE(test::fails_input({"input.h5", "record 0", "changed", "token 2", "1048576"}, [&] {
    found.read({0, 0});
  }));
  EXPECT_EQ(found.read({0, 1}).tokens, std::vector<int32_t>(kLong, 5));
}

}  // namespace
}  // namespace switchyard
