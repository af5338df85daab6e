// Text scored with one command: imported into the run, proved on resuming, the same bits as importing beforehand.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "io/file.h"
#include "io/input.h"
#include "tests/support/lm_eval_golden.h"
#include "tests/support/score_case.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::datasets;
using test::expect;
using test::ProcessResult;
using test::ScoreCase;

class ScoreText : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string lines;
    for (int i = 0; i < 40; ++i)
      lines += fmt::format("{{\"text\": \"The {} th record of forty\", \"id\": \"r{}\"}}\n", i * i, i);
    for (int i = 0; i < 4; ++i)
      lines += fmt::format("{{\"context\": \"What comes after {}? \", \"continuation\": \"{}\"}}\n", i, i + 1);
    directory_.write("records.jsonl", lines);
  }

  ScoreCase at(const std::string& run, const std::string& input = "records.jsonl",
               const std::vector<std::string>& more = {}, int ranks = 0) const {
    std::vector<std::string> options = {"--dtype", "f32", "--chunk-records", "8", "--lease-timeout", "1"};
    options.insert(options.end(), more.begin(), more.end());
    return {directory_ / input, directory_ / run, ranks, options, test::kLmEvalModel};
  }
  std::map<std::string, std::string> results(const std::string& run) const {
    return datasets(directory_ / run / "results.h5");
  }
  /// A shell's command line in which "switchyard" is the program under test, by this many ranks (0: without MPI).
  ProcessResult shell(const std::string& before, const ScoreCase& c) const {
    std::string line = before;
    for (const std::string& word : c.command()) line += " '" + (word == c.input ? "-" : word) + "'";
    return test::run({"sh", "-c", line}, test::mpi_environment());
  }
  /// As after a kill while scoring.
  void cut_back(const std::string& run) const {
    for (const char* name :
         {"results.h5", "rejects.jsonl", "state.json", "shards/chunk-000001.h5", "shards/chunk-000004.h5"})
      std::filesystem::remove(directory_ / run / name);
  }
  size_t num_temporaries(const std::string& run) const {
    size_t count = 0;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(directory_ / run, none))
      count += entry.path().native().find(".tmp-") != std::string::npos;
    return count;
  }

  test::TemporaryDirectory directory_;
};

TEST_F(ScoreText, IsTheSameAsImportingBeforehand) {
  expect(at("run"), 0, {"nothing is put around a text", "364 ids, the model has 368 embeddings"});
  const auto imported = test::run({SWITCHYARD_PROGRAM, "import", "--jsonl", directory_ / "records.jsonl", "--tokenizer",
                                   test::kLmEvalModel, "--output", directory_ / "records.h5"});
  ASSERT_EQ(imported.exit_code, 0) << imported.err;
  expect(at("imported", "records.h5"), 0);
  const auto all = results("run");
  EXPECT_EQ(all, results("imported"));
  EXPECT_EQ(all.at("record").size(), 44 * sizeof(int64_t));

  // Wherever the run is, its input is with it.
  std::filesystem::rename(directory_ / "run", directory_ / "moved");
  std::filesystem::remove(directory_ / "records.jsonl");
  const auto verified = test::run({SWITCHYARD_PROGRAM, "verify", directory_ / "moved", "--rescore", "5"});
  EXPECT_EQ(verified.exit_code, 0) << verified.err;
  EXPECT_NE(verified.out.find("\"input_compared\":true"), std::string::npos) << verified.out;
  expect(at("moved", "moved/input.h5"), 0);
}

TEST_F(ScoreText, KilledWhileScoringItGoesOnOnOtherRanks) {
  expect(at("run"), 0);
  const auto all = results("run");
  cut_back("run");
  // In smaller batches, too, whatever length they would allow now.
  expect(at("run", "records.jsonl", {"--batch-tokens", "64"}, 3), 0,
         {"input.h5 is there, made of these sources", "4 of 6 chunks are there"});
  EXPECT_EQ(results("run"), all);
}

TEST_F(ScoreText, WhatChangedIsRefusedByName) {
  expect(at("run"), 0);
  for (const bool complete : {true, false}) {
    if (!complete) cut_back("run");
    expect(at("run", "records.jsonl", {"--max-tokens", "20"}), 78, {"input.h5", "--max-tokens", "\"256\"", "\"20\""});
    expect(at("run", "records.jsonl", {"--bos", "360"}), 78, {"--bos"});
    expect(at("run", "records.jsonl", {"--text-field", "body"}), 78, {"--text-field"});
    const std::filesystem::path model = directory_ / "model";
    std::filesystem::remove_all(model);
    std::filesystem::copy(test::kLmEvalModel, model);
    std::filesystem::permissions(model / "tokenizer.json", std::filesystem::perms::owner_all);
    append_bytes(model / "tokenizer.json", "\n");
    ScoreCase other = at("run");
    other.model = model;
    expect(other, 78, {"input.h5", "tokenizer"});
  }
  std::string lines = test::bytes_of_file(directory_ / "records.jsonl");
  lines[lines.find("forty")] = 'F';
  directory_.write("records.jsonl", lines);
  expect(at("run"), 78, {"source", "records.jsonl", "bytes are others"});
  std::filesystem::remove(directory_ / "run/input.h5");  // imported again, and compared with what the run began with
  expect(at("run"), 78, {"records, tokens or ids differ"});
}

TEST_F(ScoreText, HowSourcesAreReadAndCalledIsPartOfWhatTheyAre) {
  std::filesystem::copy_file(directory_ / "records.jsonl", directory_ / "same.data");
  std::filesystem::copy_file(directory_ / "records.jsonl", directory_ / "other.jsonl");
  expect(at("run", "same.data", {"--input-format", "jsonl"}), 0);
  expect(at("run", "same.data", {"--input-format", "text"}), 78, {"same.data", "read as jsonl", "as text now"});
  expect(at("run", "other.jsonl"), 78, {"other.jsonl", "in ids", "same.data"});
}

// Of an import that was killed between its two files, or lost one, the rejects are not forgotten.
TEST_F(ScoreText, LostRejectsAreFoundAgain) {
  append_bytes(directory_ / "records.jsonl", "broken\n");
  expect(at("run"), 65);
  cut_back("run");
  std::filesystem::remove(directory_ / "run/input.h5.rejects.jsonl");
  EXPECT_EQ(test::run({SWITCHYARD_PROGRAM, "verify", directory_ / "run"}).exit_code, 66);
  expect(at("run"), 65, {"1 rejects: importing again"});
  EXPECT_TRUE(std::filesystem::exists(directory_ / "run/input.h5.rejects.jsonl"));
}

TEST_F(ScoreText, TextThatIsNotTheRunsLeavesNothingInIt) {
  expect(at("first"), 0);
  std::filesystem::rename(directory_ / "first/input.h5", directory_ / "input.h5");
  expect(at("run", "input.h5"), 0);
  directory_.write("wrong.jsonl", "{\"text\": \"something else\"}\n");
  expect(at("run", "wrong.jsonl"), 78, {"it has 1 records, that had 44"});
  EXPECT_FALSE(std::filesystem::exists(directory_ / "run/input.h5"));
  expect(at("run"), 0);
  expect(at("run", "input.h5", {"--join", "--bos", "none"}), 0, {"is a scoring input", "--bos, --join have no say"});
}

TEST_F(ScoreText, SeveralFilesOfAnyKindInOneCommand) {
  directory_.write("a.csv", "id,context,continuation\nc1,\"one, two, \",three\nc2,,alone\n");
  directory_.write("b.tsv", "text\tid\nsome words\tt1\n");
  directory_.write("book.txt", "It was the best of times, it was the worst of times. ");
  ASSERT_EQ(test::run({"gzip", "-k", directory_ / "records.jsonl"}).exit_code, 0);
  ScoreCase c = at("run", "records.jsonl.gz");
  c.options.insert(c.options.begin(), {"--input", directory_ / "a.csv", directory_ / "b.tsv", directory_ / "book.txt"});
  expect(c, 0, {"1 empty contexts are the tokenizer's EOS, 360"});
  const std::string ids = results("run").at("id");
  EXPECT_EQ(std::ranges::count(ids, '\n'), 44 + 4);
  for (const char* id : {"r39\n", "records.jsonl.gz:41\n", "c2\n", "t1\n", "book.txt\n"})
    EXPECT_NE(ids.find(id), std::string::npos) << id;
  ScoreCase mixed = at("mixed");
  mixed.options.insert(mixed.options.begin(), {"--input", directory_ / "run/input.h5"});
  expect(mixed, 64, {"input.h5", "one scoring input, or files of text"});
}

TEST_F(ScoreText, StandardInputIsReadByOneRankAndProvedByItsBytes) {
  expect(at("run"), 0);
  const std::string cat = "cat '" + (directory_ / "records.jsonl").string() + "' | ";
  for (const int ranks : {0, 3}) {
    const std::string run = fmt::format("piped-{}", ranks);
    const ProcessResult piped = shell(cat, at(run, "records.jsonl", {}, ranks));
    ASSERT_EQ(piped.exit_code, 0) << piped.err;
    auto expected = results("run"), found = results(run);
    EXPECT_NE(found.at("id").find("stdin:41"), std::string::npos);
    expected.erase("id"), found.erase("id");
    EXPECT_EQ(found, expected);
    cut_back(run);
    const ProcessResult again = shell(cat, at(run));
    EXPECT_EQ(again.exit_code, 0) << again.err;
    const ProcessResult other = shell("echo '{\"text\": \"x\"}' | ", at(run));
    EXPECT_EQ(other.exit_code, 78) << other.err;
  }
}

TEST_F(ScoreText, StoppedWhileImportingItLeavesNothingAndStartsOver) {
  const std::filesystem::path fifo = directory_ / "fifo.jsonl";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  for (const int signal : {SIGKILL, SIGTERM}) {
    ScoreCase c = at("run", "fifo.jsonl");
    test::Process process(c.command(), test::mpi_environment());
    const FileDescriptor writer(::open(fifo.c_str(), O_WRONLY));
    const std::string lines = test::bytes_of_file(directory_ / "records.jsonl");
    ASSERT_EQ(::write(writer.get(), lines.data(), lines.size()), std::ssize(lines));
    for (int i = 0; i < 500 && num_temporaries("run") == 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(num_temporaries("run"), 1u);
    ::kill(process.pid(), signal);
    const ProcessResult stopped = process.wait();
    EXPECT_EQ(stopped.exit_code, signal == SIGKILL ? 128 + SIGKILL : 75) << stopped.err;
    EXPECT_FALSE(std::filesystem::exists(directory_ / "run/input.h5"));
    EXPECT_EQ(num_temporaries("run"), signal == SIGKILL ? 1u : 0u);
    if (signal == SIGKILL) {
      EXPECT_EQ(test::run({SWITCHYARD_PROGRAM, "status", directory_ / "run"}).exit_code, 0);
    }
  }
  expect(at("run"), 0);
  EXPECT_EQ(num_temporaries("run"), 0u);
  expect(at("direct"), 0);
  EXPECT_EQ(results("run"), results("direct"));
}

// The ranks of a killed launcher see standard input end.
TEST_F(ScoreText, InputThatEndsWithItsLauncherIsNotAllOfIt) {
  for (const int signal : {SIGTERM, SIGKILL}) {
    const std::filesystem::path fifo = directory_ / "fifo";
    std::filesystem::remove(fifo);
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    std::string line = "exec";
    for (const std::string& word : at("run", "-", {}, 2).command())
      line += " '" + (word == directory_ / "-" ? "-" : word) + "'";
    test::Process process({"sh", "-c", line + " < '" + fifo.string() + "'"}, test::mpi_environment());
    const FileDescriptor writer(::open(fifo.c_str(), O_WRONLY));
    const std::string lines = test::bytes_of_file(directory_ / "records.jsonl");
    ASSERT_EQ(::write(writer.get(), lines.data(), lines.size()), std::ssize(lines));
    for (int i = 0; i < 1000 && num_temporaries("run") == 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ::kill(process.pid(), signal);
    EXPECT_NE(process.wait().exit_code, 0);
    std::this_thread::sleep_for(std::chrono::seconds(2));  // of ranks that a dead launcher leaves behind
    EXPECT_FALSE(std::filesystem::exists(directory_ / "run/input.h5"));
    EXPECT_FALSE(std::filesystem::exists(directory_ / "run/results.h5"));
  }
}

TEST_F(ScoreText, WhatCannotBeImportedLeavesNoTrace) {
  expect(at("run", "missing.jsonl"), 66, {"missing.jsonl"});
  directory_.write("cut.jsonl.gz", "\x1f\x8b\x08");
  expect(at("run", "cut.jsonl.gz"), 66, {"cut.jsonl.gz", "cut off"});
  expect(at("run", "records.jsonl", {"--max-tokens", "1000"}), 64, {"--max-tokens 1000", "256 positions"});
  expect(at("run", "records.jsonl", {"--tokenizer", "nowhere"}), 64, {"nowhere"});
  expect(at("run", "records.jsonl", {"--tokenizer", "bytes"}), 66, {"tokenizer.json", "--allow-other-tokenizer"});
  ScoreCase small = at("run", "records.jsonl", {"--tokenizer", test::kLmEvalModel});
  small.model = SWITCHYARD_DEMO_MODEL;
  expect(small, 66, {"364 ids", "257 embeddings"});
  expect(at("run", "records.jsonl", {"--join", "--embed", "mean"}), 64, {"--embed mean"});
  EXPECT_FALSE(std::filesystem::exists(directory_ / "run"));
  expect(at("run", "records.jsonl", {"--dry-run"}), 0);
  EXPECT_FALSE(std::filesystem::exists(directory_ / "run"));
}

TEST_F(ScoreText, WhatIsRejectedOnImportingCounts) {
  append_bytes(directory_ / "records.jsonl", "broken\n{\"tokens\": [5, 400]}\n");
  for (int attempt = 0; attempt < 2; ++attempt) {
    const ProcessResult result = expect(at("run"), 65, {"2 records were rejected", "input.h5.rejects.jsonl and "});
    EXPECT_EQ(test::json_field(result.out, "rejects"), "2");
    EXPECT_EQ(test::json_field(result.out, "records"), "44");
  }
  EXPECT_NE(test::bytes_of_file(directory_ / "run/input.h5.rejects.jsonl").find("\"line\":45,"), std::string::npos);
  EXPECT_NE(test::bytes_of_file(directory_ / "run/rejects.jsonl").find("400"), std::string::npos);
  EXPECT_NE(test::bytes_of_file(directory_ / "run/state.json").find("\"rejects\": 2"), std::string::npos);
  EXPECT_NE(test::bytes_of_file(directory_ / "run/report.html").find("syntax error"), std::string::npos);
  expect(at("run", "records.jsonl", {"--max-rejects", "2"}), 0);

  // An input that was imported beforehand counts what the run rejects alone.
  std::filesystem::create_directory(directory_ / "imported");
  for (const char* name : {"input.h5", "input.h5.rejects.jsonl"})
    std::filesystem::copy_file(directory_ / "run" / name, directory_ / "imported" / name);
  const ProcessResult alone = expect(at("imported", "imported/input.h5"), 65, {"imported/rejects.jsonl"});
  EXPECT_EQ(test::json_field(alone.out, "rejects"), "1");
}

TEST_F(ScoreText, ADryRunCountsRecords) {
  const ProcessResult dry = expect(at("run", "records.jsonl", {"--dry-run"}, 2), 0);
  EXPECT_NE(dry.out.find("input: 44 records"), std::string::npos) << dry.out;
}

TEST_F(ScoreText, SubmitRefusesWhatCanBeReadOnce) {
  const std::filesystem::path fifo = directory_ / "fifo.jsonl";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  for (const std::string& input : {std::string("-"), fifo.string()}) {
    const ProcessResult result = test::run({SWITCHYARD_PROGRAM, "submit", "score", "--model", test::kLmEvalModel,
                                            "--input", input, "--run", directory_ / "run"});
    EXPECT_EQ(result.exit_code, 64) << result.err;
    EXPECT_NE(result.err.find("read only once"), std::string::npos) << result.err;
  }
}

}  // namespace
}  // namespace switchyard
