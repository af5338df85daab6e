#include "jobs/score/results.h"

#include <gtest/gtest.h>

#include "io/hdf5.h"
#include "tests/support/expect_error.h"
#include "tests/support/small_runs.h"

namespace switchyard {
namespace {

using test::bytes_of_file;
using test::fails;

class MergeTest : public ::testing::Test, protected test::SmallRuns {};

TEST_F(MergeTest, EveryRecordOnceInInputOrder) {
  const ShardSet shards = make_run("run");
  hold_lease(shards);
  for (const int64_t chunk : {2, 0, 1}) write(shards, chunk);
  ASSERT_EQ(merge_results(merge_of(shards)), MergeOutcome::complete);
  const h5::Reader reader(shards.run.results_path());
  std::vector<int64_t> records(6), offsets(7);
  reader.open("record").read(0, std::span(records));
  reader.open("token_logprob/offsets").read(0, std::span(offsets));
  EXPECT_EQ(records, (std::vector<int64_t>{0, 1, 2, 3, 5, 6}));
  EXPECT_EQ(offsets, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(bytes_of_file(shards.run.rejects_path()), "{\"record\":4,\"id\":\"id-4\",\"reason\":\"empty record\"}\n");
  EXPECT_TRUE(verify_results(shards, &*input_).empty());
  const ResultTotals totals = read_totals(shards.run, false);
  EXPECT_EQ(totals.records, 6);
  EXPECT_EQ(totals.rejects, 1);
  EXPECT_DOUBLE_EQ(totals.logprob, -1.5 * (0 + 1 + 2 + 3 + 5 + 6));
  EXPECT_EQ(totals.rejects_by_reason, (std::map<std::string, int64_t>{{"empty record", 1}}));
  EXPECT_EQ(totals.expert_tokens, (ExpertCounts{1, 2, {3, 9}}));
  EXPECT_EQ(totals.record_lengths.total(), 6);
  EXPECT_EQ(totals.mean_logprobs.total(), 6);
}

TEST_F(MergeTest, DatasetsInTheOrderOfTheColumnsTheIdsBeforeThoseAskedFor) {
  const ShardSet shards = make_run("run", {true, "mean", 3});
  hold_lease(shards);
  for (const int64_t chunk : {0, 1, 2}) write(shards, chunk);
  ASSERT_EQ(merge_results(merge_of(shards)), MergeOutcome::complete);
  const hid_t file = H5Fopen(shards.run.results_path().c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  std::map<haddr_t, std::string> by_address;
  for (const char* name :
       {"embedding", "greedy", "id", "logprob", "record", "token_logprob/offsets", "token_logprob/values", "tokens"}) {
    H5O_info_t info{};
    H5Oget_info_by_name2(file, name, &info, H5O_INFO_BASIC, H5P_DEFAULT);
    by_address[info.addr] = name;
  }
  H5Fclose(file);
  std::vector<std::string> names;
  for (const auto& [address, name] : by_address) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"record", "logprob", "tokens", "greedy", "id", "token_logprob/values",
                                             "token_logprob/offsets", "embedding"}));
}

TEST_F(MergeTest, PredictsTheBytesOfTheColumnsAskedFor) {
  const auto bytes = [](const ResultOptions& options) { return predicted_results_bytes(1, 5, 0, options); };
  EXPECT_GE(bytes({}), 8 + 8 + 4 + 1);
  EXPECT_EQ(bytes({true, "none", 0}) - bytes({}), 5 * 4 + 8);
  EXPECT_EQ(bytes({false, "mean", 3}) - bytes({}), 3 * 4);
  EXPECT_EQ(bytes({true, "none", 0, true}) - bytes({true, "none", 0}), 5 * 4 + 8);
  EXPECT_EQ(predicted_results_bytes(1, 5, 94 * 128, {}) - bytes({}), 94u * 128 * 8);
  EXPECT_EQ(predicted_shard_bytes(1, 5, 10, 94 * 128, {}) - predicted_shard_bytes(1, 5, 10, 0, {}), 10u * 94 * 128 * 8);
}

TEST_F(MergeTest, VerifyComparesIdsWithTheInputs) {
  const ShardSet shards = make_run("run");
  hold_lease(shards);
  for (const int64_t chunk : {0, 1, 2}) write(shards, chunk);
  ASSERT_EQ(merge_results(merge_of(shards)), MergeOutcome::complete);
  const auto finding = [&](const std::function<std::string(int64_t)>& id_of) {
    ScoringInputWriter writer(directory_ / "other.h5");
    const int32_t tokens[] = {1, 2};
    for (int64_t r = 0; r < kRecords; ++r) writer.add(tokens, 1, id_of(r), "");
    writer.finish();
    const ScoringInput other(directory_ / "other.h5");
    const auto findings = verify_results(shards, &other);
    return findings.empty() ? std::string() : findings.front();
  };
  EXPECT_EQ(finding([](int64_t r) { return "id-" + std::to_string(r); }), "");
  EXPECT_EQ(finding([](int64_t r) { return "id-" + std::to_string(kRecords - 1 - r); }),
            "record 0: its id in results.h5 is \"id-0\", in the input \"id-6\"");
  EXPECT_EQ(finding([](int64_t r) { return r == 4 ? "id-x" : "id-" + std::to_string(r); }),
            "record 4: its id in rejects.jsonl is \"id-4\", in the input \"id-x\"");
  EXPECT_TRUE(verify_results(shards, nullptr).empty());

  // The input's hashes: a shard of another time.
  ShardSet others = shards;
  others.input_hashes.assign(3, Hash128{});
  EXPECT_TRUE(verify_results(others, nullptr).empty());
  others.input_hashes[1].low = 1;
  EXPECT_EQ(verify_results(others, nullptr).size(), 1u);
  EXPECT_EQ(scan_shards(others), (std::vector<int64_t>{0, 2}));
}

TEST_F(MergeTest, VerifyLooksAtRejectsAndAtWhatIsTooMuch) {
  const ShardSet shards = make_run("run");
  hold_lease(shards);
  for (const int64_t chunk : {0, 1, 2}) write(shards, chunk);
  ASSERT_EQ(merge_results(merge_of(shards)), MergeOutcome::complete);
  const std::string good = bytes_of_file(shards.run.rejects_path());
  const auto with_rejects = [&](const std::string& text) {
    directory_.write("run/rejects.jsonl", text);
    return verify_results(shards, &*input_);
  };
  EXPECT_TRUE(with_rejects(good).empty());
  EXPECT_FALSE(with_rejects("").empty());
  EXPECT_FALSE(with_rejects(good + good).empty());
  EXPECT_FALSE(with_rejects(good + "{\"record\":9,\"reason\":\"?\"}\n").empty());
  EXPECT_FALSE(with_rejects("{\"record\":4,\"id\":\"id-4\",\"reason\":\"another reason\"}\n").empty());
  EXPECT_FALSE(with_rejects("{\"record\":4,\"reason\":\"empty record\"}\n").empty());
}

TEST_F(MergeTest, VerifyFindsADifferenceInAnyColumn) {
  const ShardSet shards = make_run("run", {true, "mean", 3, true});
  hold_lease(shards);
  for (const int64_t chunk : {0, 1, 2}) write(shards, chunk);
  const auto expect_found = [&](const std::string& name) {
    merge_and_damage(shards, name);
    const auto findings = verify_results(shards, &*input_);
    ASSERT_EQ(findings.size(), 2u) << name;  // the first: its seal
    EXPECT_NE(findings[1].find(name == "record" ? "record 6" : name), std::string::npos) << findings[1];
  };
  for (const ColumnValues& values : ResultRows(shards.options).columns) {
    expect_found(values.column->values_dataset());
    if (values.ragged()) expect_found(values.column->offsets_dataset());
  }
  expect_found(std::string(kExpertTokens));
  expect_found(std::string(kPieceOffsets));
}

TEST_F(MergeTest, VerifyCountsTheTokensOfEveryLayersExperts) {
  ShardSet shards = make_run("run");
  hold_lease(shards);
  for (const int64_t chunk : {0, 1, 2}) write(shards, chunk);
  ASSERT_EQ(merge_results(merge_of(shards)), MergeOutcome::complete);
  for (const int64_t chunk : {0, 1, 2}) std::filesystem::remove(shards.path(chunk));
  EXPECT_TRUE(verify_results(shards, &*input_).empty());
  shards.experts_per_token = 2;
  EXPECT_EQ(verify_results(shards, &*input_),
            std::vector<std::string>{"expert_tokens of results.h5, layer 0: 12 tokens went through 2 experts each, but "
                                     "the sum is 12"});
  EXPECT_TRUE(verify_results(shards, nullptr).empty()) << "nobody knows how many they were";
}

TEST_F(MergeTest, VerifyMissesTheTokensOfAllExperts) {
  const ShardSet shards = make_run("run");
  hold_lease(shards);
  for (const int64_t chunk : {0, 1, 2}) write(shards, chunk, ExpertCounts::zeros(1, 2));
  ASSERT_EQ(merge_results(merge_of(shards)), MergeOutcome::complete);
  EXPECT_EQ(verify_results(shards, &*input_),
            std::vector<std::string>{"expert_tokens of results.h5 are all zero, but 12 tokens were computed"});
}

TEST_F(MergeTest, RejectsOfVeryManyKindsAreTakenTogether) {
  const ShardSet shards = make_run("run");
  hold_lease(shards);
  for (const int64_t chunk : {0, 1, 2}) write(shards, chunk);
  ASSERT_EQ(merge_results(merge_of(shards)), MergeOutcome::complete);
  std::string lines = "{\"reason\":\"token 1 is -1\"}\n{\"reason\":\"token 20 is 300\"}\n7\n";
  lines += "{\"reason\":\"ill-formed UTF-8 with --bos\"}\n";
  for (int i = 0; i < 300; ++i) lines += "{\"reason\":\"" + std::string(static_cast<size_t>(i + 1), 'x') + "\"}\n";
  directory_.write("run/rejects.jsonl", lines);
  const auto reasons = read_totals(shards.run, false).rejects_by_reason;
  EXPECT_EQ(reasons.at("token N is N"), 2);
  EXPECT_EQ(reasons.at("unknown"), 1);
  EXPECT_EQ(reasons.at("ill-formed UTF-8 with --bos"), 1);
  EXPECT_EQ(reasons.at("others"), 3 + 300 - 256);
  EXPECT_EQ(reasons.size(), 257u);
}

TEST_F(MergeTest, VerifySaysWhatAnotherProgramHasChanged) {
  const ShardSet shards = make_run("run");
  hold_lease(shards);
  for (const int64_t chunk : {0, 1, 2}) write(shards, chunk);
  ASSERT_EQ(merge_results(merge_of(shards)), MergeOutcome::complete);
  const std::string name = shards.run.results_path();
  const auto change = [&](const char* dataset, hid_t type, hsize_t row, const auto& value) {
    ASSERT_EQ(merge_results(merge_of(shards)), MergeOutcome::complete);
    const hid_t file = H5Fopen(name.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
    const hid_t column = H5Dopen2(file, dataset, H5P_DEFAULT), space = H5Dget_space(column);
    const hsize_t one = 1;
    const hid_t memory = H5Screate_simple(1, &one, nullptr);
    H5Sselect_elements(space, H5S_SELECT_SET, 1, &row);
    H5Dwrite(column, type, memory, space, H5P_DEFAULT, &value);
    H5Sclose(memory), H5Sclose(space), H5Dclose(column), H5Fclose(file);
  };
  const auto findings = [&] { return fmt::format("{}", fmt::join(verify_results(shards, &*input_), "; ")); };
  change("logprob", H5T_NATIVE_DOUBLE, 3, 0.5);
  EXPECT_NE(findings().find("results.h5: its "), std::string::npos) << findings();
  EXPECT_NE(findings().find("chunk 1: logprob"), std::string::npos) << findings();
  for (const int64_t offset : {int64_t{1} << 62, int64_t{-5}, int64_t{1}}) {
    change("token_logprob/offsets", H5T_NATIVE_INT64, 4, offset);
    EXPECT_NE(findings().find("token_logprob"), std::string::npos) << findings();
  }
  change("record", H5T_NATIVE_INT64, 0, int64_t{5});
  EXPECT_NE(findings().find("record 0"), std::string::npos) << findings();
  std::filesystem::resize_file(name, 1000);
  EXPECT_NE(findings().find("seal is missing"), std::string::npos) << findings();
}

TEST_F(MergeTest, StoppedAnywhereItPublishesNothingAndCanBeDoneAgain) {
  const ShardSet shards = make_run("run");
  hold_lease(shards);
  for (const int64_t chunk : {0, 1, 2}) write(shards, chunk);
  for (int after = 0; after < 6; ++after) {
    MergeInput merge = merge_of(shards);
    int asked = 0;
    merge.stop = [&] { return asked++ == after; };
    EXPECT_EQ(merge_results(merge), MergeOutcome::interrupted) << after;
    EXPECT_FALSE(published(shards)) << after;
  }
  for (const auto& entry : std::filesystem::directory_iterator(shards.run.root()))
    EXPECT_EQ(entry.path().native().find(".tmp-"), std::string::npos) << entry.path();
  EXPECT_EQ(merge_results(merge_of(shards)), MergeOutcome::complete);
}

TEST_F(MergeTest, AnotherAttemptsLeaseForbidsPublishing) {
  const ShardSet shards = make_run("run");
  hold_lease(shards);
  for (const int64_t chunk : {0, 1, 2}) write(shards, chunk);
  MergeInput merge = merge_of(shards);
  merge.lease_nonce = std::string(32, '0');
  EXPECT_TRUE(fails(ExitCode::mismatch, {"taken over"}, [&] { merge_results(merge); }));
  EXPECT_FALSE(published(shards));
}

TEST_F(MergeTest, ADamagedShardIsSetAsideAndScoredAgain) {
  const ShardSet shards = make_run("run");
  hold_lease(shards);
  for (const int64_t chunk : {0, 1, 2}) write(shards, chunk);
  const auto path = shards.path(1);
  std::string bytes = bytes_of_file(path);
  for (size_t i = bytes.size() / 2; i < bytes.size(); ++i) bytes[i] = static_cast<char>(~bytes[i]);
  std::ofstream(path, std::ios::binary) << bytes;
  EXPECT_EQ(scan_shards(shards), (std::vector<int64_t>{0, 2}));
  EXPECT_FALSE(std::filesystem::exists(path));
  write(shards, 1);
  EXPECT_EQ(scan_shards(shards), (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(merge_results(merge_of(shards)), MergeOutcome::complete);
}

TEST_F(MergeTest, ShardsBeyondTheInputAreRefused) {
  const ShardSet shards = make_run("run");
  std::ofstream(shards.path(3)) << "x";
  EXPECT_TRUE(fails(ExitCode::mismatch, {"chunk-000003", "3 chunks"}, [&] { scan_shards(shards); }));
}

}  // namespace
}  // namespace switchyard
