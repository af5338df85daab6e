// Merging and verifying runs of an input whose records are pieces of documents.
#include <gtest/gtest.h>

#include "comm/communicator.h"
#include "jobs/input/input_identity.h"
#include "jobs/score/results.h"
#include "tests/support/expect_error.h"
#include "tests/support/small_runs.h"

namespace switchyard {
namespace {

using test::bytes_of_file;

/// Documents 2 (records 2 and 3) and 3 (records 4, which is a reject, to 6) lie in two chunks each.
constexpr int64_t kPiecesOfDocuments[] = {1, 1, 2, 3};

class JoinedResults : public ::testing::Test, protected test::SmallRuns {
 protected:
  JoinedResults() : SmallRuns(kPiecesOfDocuments) {
    hold_lease(shards_);
    for (const int64_t chunk : {0, 1, 2}) write(shards_, chunk);
  }
  void merge() const { ASSERT_EQ(merge_results(merge_of(shards_)), MergeOutcome::complete); }
  std::string findings() const { return fmt::format("{}", fmt::join(verify_results(shards_, &*input_), "; ")); }
  void drop_shards() const {
    for (const int64_t chunk : {0, 1, 2}) std::filesystem::remove(shards_.path(chunk));
  }
  template <class T>
  std::vector<T> column(const std::string& name) const {
    const h5::Reader reader(shards_.run.results_path());
    const h5::Dataset dataset = reader.open(name);
    std::vector<T> values(static_cast<size_t>(dataset.rows()));
    dataset.read(0, std::span(values));
    return values;
  }

  ShardSet shards_ = make_run("run", {true, "last", 1, true});
};

TEST_F(JoinedResults, ARowForEveryDocumentOrAReject) {
  merge();
  EXPECT_EQ(column<int64_t>("record"), (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(column<double>("logprob"), (std::vector<double>{0, -1.5, -1.5 * (2 + 3)}));
  EXPECT_EQ(column<int32_t>("tokens"), (std::vector<int32_t>{1, 1, 2}));
  EXPECT_EQ(column<int32_t>("greedy"), (std::vector<int32_t>{0, 1, 0}));
  EXPECT_EQ(column<float>("token_logprob/values"), (std::vector<float>{0, -1.5, -3, -4.5}));
  EXPECT_EQ(column<int64_t>("token_id/offsets"), (std::vector<int64_t>{0, 1, 2, 4}));
  EXPECT_EQ(column<float>("embedding"), (std::vector<float>{0, -1.5, -4.5}));
  EXPECT_EQ(h5::Reader(shards_.run.results_path()).open("id").read_strings(0, 3),
            (std::vector<std::string>{"id-0", "id-1", "id-2"}));
  EXPECT_EQ(bytes_of_file(shards_.run.rejects_path()),
            "{\"record\":3,\"id\":\"id-3\",\"reason\":\"piece 1 of 3: empty record\"}\n");
  EXPECT_EQ(findings(), "");
  const ResultTotals totals = read_totals(shards_.run, false);
  EXPECT_EQ(totals.records, 3);
  EXPECT_EQ(totals.rejects, 1);
  EXPECT_EQ(totals.tokens, 4);
  EXPECT_EQ(totals.rejects_by_reason, (std::map<std::string, int64_t>{{"piece N of N: empty record", 1}}));
  EXPECT_EQ(totals.expert_tokens, (ExpertCounts{1, 2, {3, 9}})) << "those of the rejected document's pieces too";
}

TEST_F(JoinedResults, StoppedAnywhereItPublishesNothing) {
  for (int after = 0; after < 9; ++after) {  // sizes of shards, sizes of documents, merging
    MergeInput merge = merge_of(shards_);
    int asked = 0;
    merge.stop = [&] { return asked++ == after; };
    EXPECT_EQ(merge_results(merge), MergeOutcome::interrupted) << after;
    EXPECT_FALSE(published(shards_)) << after;
  }
  merge();
}

TEST_F(JoinedResults, WithoutRejectsTheShardsNeedNoSecondReading) {
  const ShardSet good = make_run("good");
  hold_lease(good);
  for (const int64_t chunk : {0, 1, 2}) {
    ChunkResult r = shards_.read(chunk);
    r.accepted = ResultRows(good.options);
    r.rejects.clear();
    for (int64_t record = r.first_record; record < r.first_record + r.num_records; ++record)
      r.accepted.append({.record = record});
    write_shard(good.path(chunk), r, good.fingerprint);
  }
  MergeInput merge = merge_of(good);
  int asked = 0;
  merge.stop = [&] { return ++asked > 6; };
  EXPECT_EQ(merge_results(merge), MergeOutcome::complete);
  EXPECT_EQ(h5::Reader(good.run.results_path()).open("record").rows(), 4);
}

TEST_F(JoinedResults, IdsThatChangedAreNoticed) {
  MergeInput merge = merge_of(shards_);
  merge.id_hashes = hashes_of(identify_input(*make_self_communicator(), *input_, kChunk, 100), &ChunkIdentity::ids);
  EXPECT_EQ(merge_results(merge), MergeOutcome::complete);
  merge.id_hashes.back().low ^= 1;  // of a piece of a document that began before
  EXPECT_TRUE(test::fails_input({"ids of records 6 to 6 changed"}, [&] { merge_results(merge); }));
}

TEST_F(JoinedResults, VerifyFindsADifferenceInAnyColumn) {
  for (const ColumnValues& values : ResultRows(shards_.options).columns) {
    std::vector<std::string> names = {values.column->values_dataset()};
    if (values.ragged()) names.push_back(values.column->offsets_dataset());
    for (const std::string& name : names) {
      merge_and_damage(shards_, name);
      const auto found = verify_results(shards_, &*input_);
      ASSERT_EQ(found.size(), 2u) << name;  // the first: its seal
      EXPECT_NE(found[1].find(name == "record" ? "record 2" : name), std::string::npos) << found[1];
    }
  }
}

TEST_F(JoinedResults, VerifyLooksAtRejects) {
  merge();
  const std::string good = bytes_of_file(shards_.run.rejects_path());
  const auto with_rejects = [&](const std::string& text) {
    directory_.write("run/rejects.jsonl", text);
    return findings();
  };
  EXPECT_EQ(with_rejects(good), "");
  for (const std::string& bad :
       {std::string(), good + good, good + "{\"record\":4,\"reason\":\"?\"}\n",
        std::string("{\"record\":3,\"id\":\"id-3\",\"reason\":\"piece 2 of 3: empty record\"}\n"),
        std::string("{\"record\":3,\"id\":\"id-2\",\"reason\":\"piece 1 of 3: empty record\"}\n")})
    EXPECT_NE(with_rejects(bad), "") << bad;
}

TEST_F(JoinedResults, VerifyComparesIdsWithTheDocuments) {
  merge();
  {
    ScoringInputWriter writer(directory_ / "other.h5", {.documents = true});
    for (int64_t d = 0; d < 4; ++d) {
      for (int64_t piece = 0; piece < kPiecesOfDocuments[d]; ++piece)
        writer.add(std::vector<int32_t>{1, 2}, 1, d == 2 ? "other" : "id-" + std::to_string(d), "");
      writer.end_document();
    }
    writer.finish();
  }
  const ScoringInput other(directory_ / "other.h5");
  EXPECT_EQ(verify_results(shards_, &other),
            std::vector<std::string>{"record 2: its id in results.h5 is \"id-2\", in the input \"other\""});
}

TEST_F(JoinedResults, WithoutShardsVerifyChecksWhatCanBe) {
  merge();
  EXPECT_EQ(findings(), "");
  drop_shards();
  EXPECT_EQ(findings(), "");
  // Of document 3, which was rejected, all pieces or none may have gone through the model.
  shards_.experts_per_token = 2;
  EXPECT_EQ(findings(),
            "expert_tokens of results.h5, layer 0: 8 to 14 tokens went through 2 experts each, but the sum is 12");
  shards_.experts_per_token = 1;
  const std::string line = bytes_of_file(shards_.run.rejects_path());
  directory_.write("run/rejects.jsonl", "");
  EXPECT_NE(findings(), "");
  directory_.write("run/rejects.jsonl", line + "{\"record\":4,\"reason\":\"?\"}\n");
  EXPECT_EQ(findings(), "results.h5 and rejects.jsonl hold more than the 4 documents of the input");
}

TEST_F(JoinedResults, WithoutShardsEveryLayerHasHadTheSameTokens) {
  for (const int64_t chunk : {0, 1, 2}) write(shards_, chunk, ExpertCounts{2, 2, {2, 2, 2, chunk}});
  MergeInput input = merge_of(shards_);
  input.expert_tokens = ExpertCounts::zeros(2, 2);
  ASSERT_EQ(merge_results(input), MergeOutcome::complete);
  drop_shards();
  EXPECT_EQ(findings(),
            "expert_tokens of results.h5, layer 1: 12 tokens went through 1 experts each, but the sum is 9");
}

TEST_F(JoinedResults, WithShardsVerifyKnowsEveryPiece) {
  merge();
  shards_.experts_per_token = 2;
  EXPECT_EQ(findings(),
            "expert_tokens of results.h5, layer 0: 12 tokens went through 2 experts each, but the sum is 12");
}

}  // namespace
}  // namespace switchyard
