// Runs of documents that are scored in windows, and results that can be read as text.
#include <gtest/gtest.h>

#include <fstream>

#include "import/pieces.h"
#include "io/input.h"
#include "io/json.h"
#include "io/seal.h"
#include "jobs/score/results_reader.h"
#include "tests/support/column_of.h"
#include "tests/support/score_case.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/texts_of.h"
#include "tokens/tokenizer.h"

namespace switchyard {
namespace {

using test::bytes_of_file;
using test::datasets;
using test::expect;
using test::ProcessResult;
using test::ScoreCase;
using test::values_of;

/// Texts of 1 to 391 bytes, in windows of 48 of which 16 were there before; one whose third window has an id that is no
/// token.
class ScoreJoined : public ::testing::Test {
 protected:
  static constexpr int64_t kDocuments = 14, kBad = 6;

  void SetUp() override {
    std::ifstream file(std::filesystem::path(SWITCHYARD_DEMO_MODEL).parent_path() / "texts" / "kjv.txt",
                       std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(file), {});
    for (size_t d = 0; d < kDocuments; ++d) texts_.push_back(text.substr(1000 * d, 1 + 30 * d));
    write("input.h5", true);
  }

  static std::vector<int32_t> bytes_of(const std::string& text) {
    std::vector<int32_t> ids;
    open_tokenizer("bytes")->encode(text, ids);
    return ids;
  }

  void write(const std::string& name, bool joined) const {
    ScoringInputWriter writer(directory_ / name, {.documents = joined});
    for (size_t d = 0; d < kDocuments; ++d) {
      PieceSplitter pieces({.max_tokens = 48, .overlap = 16, .windows = true}, [&](const Piece& piece) {
        std::vector<int32_t> tokens(piece.tokens.begin(), piece.tokens.end());
        if (d == kBad && piece.index == 2) tokens.back() = 999;
        writer.add(tokens, static_cast<int32_t>(piece.context), "text-" + std::to_string(d), "");
      });
      pieces.begin({});
      pieces.add(bytes_of(texts_[d]));
      pieces.end();
      if (joined) writer.end_document();
    }
    writer.finish(TokenizerIdentity{"bytes", open_tokenizer("bytes")->hash()});
  }

  ScoreCase at(const std::string& run, int ranks = 0, const std::string& input = "input.h5") const {
    return {directory_ / input,
            directory_ / run,
            ranks,
            {"--dtype", "f32", "--with-text", "--embed", "last", "--chunk-records", "4", "--max-rejects", "1"}};
  }
  ProcessResult verify(const std::string& run, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> argv = {SWITCHYARD_PROGRAM, "verify", directory_ / run, "--threads", "1"};
    argv.insert(argv.end(), more.begin(), more.end());
    return test::run(argv);
  }
  ResultRows rows_of(const std::string& run) const {
    const ResultsReader reader(directory_ / run / "results.h5",
                               {.per_token = true, .embed = "last", .embedding_dim = 64, .with_text = true});
    return reader.read(0, reader.rows());
  }

  /// Those of the scored tokens: all but the first.
  void expect_texts(const std::string& run, size_t num_rows) const {
    const ResultRows rows = rows_of(run);
    const std::vector<std::string> texts = test::texts_of(rows, directory_ / run / "results.h5");
    ASSERT_EQ(texts.size(), num_rows);
    for (size_t row = 0; row < texts.size(); ++row)
      EXPECT_EQ(texts[row], texts_[static_cast<size_t>(rows.records()[row])].substr(1));
  }

  test::TemporaryDirectory directory_;
  std::vector<std::string> texts_;
};

TEST_F(ScoreJoined, ADocumentsRowIsItsWindows) {
  const ProcessResult result = expect(at("run"), 0, {"14 documents in ", "1 documents were rejected"});
  EXPECT_EQ(test::json_field(result.out, "documents"), std::to_string(kDocuments - 1));
  EXPECT_EQ(test::json_field(result.out, "rejects"), "1");
  EXPECT_NE(bytes_of_file(directory_ / "run/report.html").find("<dt>Documents</dt>"), std::string::npos);
  EXPECT_NE(bytes_of_file(directory_ / "run/state.json").find("\"rejects\": 1"), std::string::npos);
  EXPECT_NE(bytes_of_file(directory_ / "run/rejects.jsonl")
                .find("{\"record\":6,\"id\":\"text-6\",\"reason\":\"piece 3 of 6: token "),
            std::string::npos)
      << bytes_of_file(directory_ / "run/rejects.jsonl");

  write("pieces.h5", false);
  expect(at("pieces", 0, "pieces.h5"), 0, {"1 records were rejected"});
  const ResultRows documents = rows_of("run"), pieces = rows_of("pieces");
  ASSERT_EQ(std::ssize(documents.records()), kDocuments - 1);
  const auto ids = h5::Reader(directory_ / "pieces/results.h5").open("id").read_strings(0, pieces.records().size());
  size_t piece = 0, value = 0;
  std::vector<float> each = values_of<float>(pieces, "token_logprob");
  for (size_t row = 0; row < documents.records().size(); ++row) {
    const int64_t d = documents.records()[row];
    EXPECT_EQ(d, static_cast<int64_t>(row) + (row < kBad ? 0 : 1));
    for (; ids[piece] == "text-" + std::to_string(kBad); ++piece)
      each.erase(each.begin() + static_cast<std::ptrdiff_t>(value),
                 each.begin() + static_cast<std::ptrdiff_t>(value) + values_of<int32_t>(pieces, "tokens")[piece]);
    double sum = 0;
    int32_t tokens = 0;
    for (; piece < ids.size() && ids[piece] == "text-" + std::to_string(d); ++piece) {
      sum += values_of<double>(pieces, "logprob")[piece];
      tokens += values_of<int32_t>(pieces, "tokens")[piece];
    }
    value += static_cast<size_t>(tokens);
    EXPECT_EQ(values_of<double>(documents, "logprob")[row], sum) << d;
    EXPECT_EQ(values_of<int32_t>(documents, "tokens")[row], tokens) << d;
    EXPECT_EQ(tokens, std::ssize(texts_[static_cast<size_t>(d)]) - 1) << "every token once";
  }
  EXPECT_EQ(values_of<float>(documents, "token_logprob"), each);
}

TEST_F(ScoreJoined, TextsCanBeReadBack) {
  expect(at("run"), 0);
  expect_texts("run", kDocuments - 1);
  EXPECT_EQ(h5::Reader(directory_ / "run/results.h5").open("piece/offsets").rows(), 258) << "the model's vocabulary";
}

TEST_F(ScoreJoined, TextGoesInAndComesOut) {
  std::string lines;
  for (const std::string& text : texts_) lines += to_text(Json{{"text", text}}) + "\n";
  ScoreCase c = at("run");
  c.input = directory_.write("texts.jsonl", lines);
  c.options.insert(c.options.end(), {"--tokenizer", "bytes", "--join", "--max-tokens", "48", "--overlap", "16"});
  ScoreCase other = c;
  other.options[4] = "mean";
  expect(other, 64, {"--embed mean", "texts.jsonl", "overlap"});
  other.options[4] = "last";
  other.options.emplace_back("--dry-run");
  EXPECT_NE(expect(other, 0).out.find("input: 14 documents in "), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(directory_ / "run"));
  expect(c, 0);
  expect_texts("run", kDocuments);
  const ProcessResult verified = verify("run", {"--rescore", "3"});
  EXPECT_EQ(verified.exit_code, 0) << verified.err;
}

TEST_F(ScoreJoined, TheSameBitsOnAnyRanksAlsoWhenResumed) {
  expect(at("one"), 0);
  const auto expected = datasets(directory_ / "one/results.h5");
  ASSERT_EQ(expected.size(), 13u);
  for (const int ranks : {1, 3, 4}) {
    const std::string run = "ranks-" + std::to_string(ranks);
    expect(at(run, ranks), 0);
    EXPECT_TRUE(datasets(directory_ / run / "results.h5") == expected) << ranks;
  }
  for (const char* lost : {"results.h5", "state.json", "shards/chunk-000001.h5", "shards/chunk-000004.h5"})
    std::filesystem::remove(directory_ / "ranks-3" / lost);
  expect(at("ranks-3", 2), 0, {"resuming: "});
  EXPECT_TRUE(datasets(directory_ / "ranks-3/results.h5") == expected);
  EXPECT_EQ(bytes_of_file(directory_ / "ranks-3/rejects.jsonl"), bytes_of_file(directory_ / "one/rejects.jsonl"));
}

TEST_F(ScoreJoined, VerifyProvesAndFindsFault) {
  expect(at("run"), 0);
  const ProcessResult good = verify("run", {"--rescore", "5"});
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_EQ(test::json_field(good.out, "rescored"), "5");
  EXPECT_EQ(test::json_field(good.out, "documents"), std::to_string(kDocuments));

  std::filesystem::rename(directory_ / "input.h5", directory_ / "moved.h5");
  const ProcessResult gone = verify("run");
  EXPECT_EQ(gone.exit_code, 66);
  EXPECT_NE(gone.err.find("--input"), std::string::npos) << gone.err;
  const std::string moved = directory_ / "moved.h5";
  EXPECT_EQ(verify("run", {"--input", moved}).exit_code, 0);
  write("pieces.h5", false);
  EXPECT_EQ(verify("run", {"--input", directory_ / "pieces.h5"}).exit_code, 78) << "the same records, no documents";

  // One bit of a sum, under a good seal; then without the shards that know better.
  std::vector<double> sums(1);
  h5::Reader(directory_ / "run/results.h5").open("logprob").read(5, std::span(sums));
  std::string bytes = bytes_of_file(directory_ / "run/results.h5");
  const size_t place = bytes.find(std::string(reinterpret_cast<const char*>(sums.data()), sizeof(double)));
  ASSERT_NE(place, std::string::npos);
  bytes[place] ^= 1;
  directory_.write("run/results.h5", bytes.substr(0, bytes.size() - kSealBytes));
  seal_file(directory_ / "run/results.h5");
  const ProcessResult bad = verify("run", {"--input", moved});
  EXPECT_EQ(bad.exit_code, 66);
  EXPECT_NE(bad.err.find("logprob of results.h5 differs"), std::string::npos) << bad.err;
  std::filesystem::remove_all(directory_ / "run/shards");
  EXPECT_EQ(verify("run", {"--input", moved}).exit_code, 0) << "nobody knows the sum any more";
  const ProcessResult rescored = verify("run", {"--input", moved, "--rescore", "100"});
  EXPECT_EQ(rescored.exit_code, 66);
  EXPECT_NE(rescored.err.find("record 5: logprob was "), std::string::npos) << rescored.err;
}

TEST_F(ScoreJoined, WhatIsRefused) {
  ScoreCase c = at("run");
  c.options[4] = "mean";
  expect(c, 64, {"--embed mean", "overlap"});
  EXPECT_FALSE(std::filesystem::exists(directory_ / "run"));
  c = at("run");
  c.options.back() = "0";
  expect(c, 65);  // documents count
  c = at("run");
  c.options.erase(c.options.begin() + 2);
  expect(c, 78, {"with_text"});
  write("pieces.h5", false);
  expect(at("run", 0, "pieces.h5"), 78, {"pieces.h5"});

  test::write_text_input(directory_ / "nobodys.h5", 3, 20);
  expect(at("nobodys", 0, "nobodys.h5"), 64, {"no tokenizer to take texts from"});
  EXPECT_FALSE(std::filesystem::exists(directory_ / "nobodys"));
  c = at("nobodys", 2, "nobodys.h5");
  expect(c, 64, {"no tokenizer to take texts from"});
}

}  // namespace
}  // namespace switchyard
