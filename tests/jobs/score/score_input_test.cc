// That a run goes on with its own input only, and what of an input is looked at before anything is computed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "base/hash.h"
#include "io/input.h"
#include "tests/support/score_case.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::bytes_of_file;
using test::datasets;
using test::expect;
using test::ProcessResult;
using test::ScoreCase;

constexpr int kRecords = 20;

/// Records of one shape: what they say, and what they are called, may differ.
struct Content {
  int token = 'a';
  std::string id = "id";
};

class ScoreInput : public ::testing::Test {
 protected:
  void SetUp() override { write("input.h5", {}); }

  std::filesystem::path write(const std::string& name, const Content& content) const {
    ScoringInputWriter writer(directory_ / name);
    for (int r = 0; r < kRecords; ++r) {
      std::vector<int32_t> tokens(static_cast<size_t>(5 + r), 'b');
      tokens.back() = content.token;
      writer.add(tokens, 1, content.id + std::to_string(r), "");
    }
    writer.finish();
    return directory_ / name;
  }

  ScoreCase at(const std::string& run, const std::string& input = "input.h5",
               const std::vector<std::string>& more = {}) const {
    std::vector<std::string> options = {"--dtype", "f32", "--chunk-records", "4", "--lease-timeout", "1"};
    options.insert(options.end(), more.begin(), more.end());
    return {directory_ / input, directory_ / run, 0, options};
  }

  /// As after a kill: two chunks are there and nothing else.
  void cut_back(const std::string& run) const {
    for (const char* name : {"results.h5", "rejects.jsonl", "state.json", "shards/chunk-000001.h5",
                             "shards/chunk-000003.h5", "shards/chunk-000004.h5"})
      std::filesystem::remove(directory_ / run / name);
  }
  size_t num_attempts(const std::string& run) const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory_ / run / "attempts"), {}));
  }

  test::TemporaryDirectory directory_;
};

TEST_F(ScoreInput, AnotherOfTheSameShapeIsRefused) {
  write("tokens.h5", {.token = 'c'});
  write("ids.h5", {.id = "di"});
  std::filesystem::copy_file(directory_ / "input.h5", directory_ / "same.h5");
  for (const std::vector<std::string>& more : {std::vector<std::string>{}, std::vector<std::string>{"--drop-shards"}}) {
    const std::string run = more.empty() ? "run" : "dropped";
    expect(at(run, "input.h5", more), 0);
    const auto before = datasets(directory_ / run / "results.h5");
    expect(at(run, "tokens.h5", more), 78, {"tokens.h5", "input.h5", "belongs to another one"});
    expect(at(run, "ids.h5", more), 78, {"ids.h5", "input.h5"});
    EXPECT_EQ(num_attempts(run), 1u) << "a refused attempt left a trace";
    expect(at(run, "same.h5", more), 0);  // a path is no proof either
    EXPECT_TRUE(datasets(directory_ / run / "results.h5") == before);
  }
}

TEST_F(ScoreInput, AnotherIsRefusedWhateverItsNameAndStampSay) {
  expect(at("run"), 0);
  cut_back("run");
  struct stat status {};
  ::stat((directory_ / "input.h5").c_str(), &status);
  const auto bytes = std::filesystem::file_size(directory_ / "input.h5");
  write("input.h5", {.token = 'c'});
  ASSERT_EQ(std::filesystem::file_size(directory_ / "input.h5"), bytes);
  const timespec times[2] = {status.st_atim, status.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, (directory_ / "input.h5").c_str(), times, 0), 0);
  ScoreCase c = at("run");
  expect(c, 78, {"input.h5"});
  c.ranks = 3;
  expect(c, 78, {"input.h5"});
  write("input.h5", {});
  expect(c, 0, {"resuming: 2 of 5 chunks"});
  expect(at("undisturbed"), 0);
  EXPECT_TRUE(datasets(directory_ / "run/results.h5") == datasets(directory_ / "undisturbed/results.h5"));
}

TEST_F(ScoreInput, ATornStateOrResultIsMadeAgain) {
  expect(at("run"), 0);
  const auto before = datasets(directory_ / "run/results.h5");
  for (const std::string torn : {"", "{\"status\": \"comp"}) {
    cut_back("run");
    directory_.write("run/state.json", torn);
    expect(at("run"), 0, {"resuming: 2 of 5 chunks"});
    EXPECT_TRUE(datasets(directory_ / "run/results.h5") == before);
    directory_.write("run/state.json", torn);
    expect(at("run"), 0, {"resuming: 5 of 5 chunks"});
  }
  const std::string whole = bytes_of_file(directory_ / "run/results.h5");
  for (const size_t size : {size_t{0}, whole.size() / 2, whole.size() - 1}) {
    directory_.write("run/results.h5", whole.substr(0, size));
    expect(at("run"), 0, {"results.h5", "made again"});
    EXPECT_TRUE(datasets(directory_ / "run/results.h5") == before) << size;
  }
  std::filesystem::remove(directory_ / "run/rejects.jsonl");
  directory_.write("run/attempts/local.1/start.json", "");
  expect(at("run"), 0);
  EXPECT_TRUE(std::filesystem::exists(directory_ / "run/rejects.jsonl"));
}

TEST_F(ScoreInput, DamagedResultsAreMadeAgainBeforeShardsAreDropped) {
  expect(at("run", "input.h5", {"--per-token"}), 0);
  const auto before = datasets(directory_ / "run/results.h5");
  const std::string whole = bytes_of_file(directory_ / "run/results.h5");
  for (size_t place = 1; place < whole.size(); place += whole.size() / 5) {
    std::string bytes = whole;
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(place), std::min<size_t>(64, bytes.size() - place), '\x2a');
    directory_.write("run/results.h5", bytes);
    EXPECT_EQ(test::run({SWITCHYARD_PROGRAM, "verify", directory_ / "run"}).exit_code, 66) << place;
    expect(at("run", "input.h5", {"--per-token"}), 0, {"results.h5", "made again"});
  }
  directory_.write("run/rejects.jsonl", "{\"record\":1,\"reason\":\"?\"}\n");
  expect(at("run", "input.h5", {"--per-token", "--drop-shards"}), 0, {"made again"});
  EXPECT_TRUE(datasets(directory_ / "run/results.h5") == before);
  EXPECT_EQ(bytes_of_file(directory_ / "run/rejects.jsonl"), "");
}

TEST_F(ScoreInput, ShardsThatCannotBeReadAreNotThrownAway) {
  expect(at("run"), 0);
  cut_back("run");
  const std::string limited = "ulimit -n 7; exec ";
  std::string command = limited;
  for (const std::string& word : at("run").command()) command += "'" + word + "' ";
  const ProcessResult result = test::run({"bash", "-c", command});
  EXPECT_NE(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err.find("setting a bad shard aside"), std::string::npos) << result.err;
  EXPECT_FALSE(std::filesystem::exists(directory_ / "run/shards/chunk-000000.h5.corrupt"));
  expect(at("run"), 0, {"resuming: 2 of 5 chunks"});
}

TEST_F(ScoreInput, LinksThatLeadNowhereAreNoAbsentColumns) {
  const hid_t file = H5Fopen((directory_ / "input.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  H5Ldelete(file, "context", H5P_DEFAULT);
  H5Lcreate_soft("/nowhere", file, "context", H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(file);
  expect(at("run"), 66, {"input.h5", "context", "link"});
}

TEST_F(ScoreInput, IdsThatCannotBeReadAreSeenBeforeScoring) {
  const std::vector<int32_t> values(8, 'a');
  const std::vector<int64_t> offsets = {0, 4, 8};
  const auto with_ids = [&](hid_t stored, hid_t memory, const void* ids) {
    const std::string name = directory_ / "ids.h5";
    {
      h5::Writer writer(name);
      writer.write("tokens/values", view_of(std::span<const int32_t>(values)));
      writer.write("tokens/offsets", view_of(std::span<const int64_t>(offsets)));
      writer.close();
    }
    const hid_t file = H5Fopen(name.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
    const hsize_t rows = 2;
    const hid_t space = H5Screate_simple(1, &rows, nullptr);
    const hid_t dataset = H5Dcreate2(file, "id", stored, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, ids);
    H5Dclose(dataset), H5Sclose(space), H5Fclose(file);
  };
  const hid_t fixed = H5Tcopy(H5T_C_S1);
  H5Tset_size(fixed, 4);
  H5Tset_strpad(fixed, H5T_STR_NULLPAD);
  with_ids(fixed, fixed, "good\xe9t\xe9s");
  expect(at("run", "ids.h5"), 66, {"ids.h5", "id", "row 1", "UTF-8"});
  with_ids(fixed, fixed, "a\0bcgood");
  expect(at("run", "ids.h5"), 66, {"ids.h5", "row 0", "NUL"});
  H5Tclose(fixed);
  const uint64_t large[2] = {7, uint64_t{1} << 63};
  with_ids(H5T_STD_U64LE, H5T_NATIVE_UINT64, large);
  expect(at("run", "ids.h5"), 66, {"ids.h5", "row 1", "9223372036854775808"});
  EXPECT_FALSE(std::filesystem::exists(directory_ / "run"));
}

TEST_F(ScoreInput, AFilterThatIsNotThereIsSeenBeforeScoring) {
  const std::string name = directory_ / "filtered.h5";
  const std::vector<int64_t> offsets = {0, 4, 8};
  {
    h5::Writer writer(name);
    writer.write("tokens/offsets", view_of(std::span<const int64_t>(offsets)));
    writer.close();
  }
  const hid_t file = H5Fopen(name.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  const hid_t group = H5Gcreate2(file, "of", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  const hsize_t rows = 8, chunk = 8;
  const hid_t space = H5Screate_simple(1, &rows, nullptr), properties = H5Pcreate(H5P_DATASET_CREATE);
  constexpr H5Z_filter_t kNobodysFilter = 32'015;  // Zstandard's number: HDF5 1.10 comes without it
  H5Pset_chunk(properties, 1, &chunk);
  H5Pset_filter(properties, kNobodysFilter, H5Z_FLAG_OPTIONAL, 0, nullptr);
  const hid_t dataset = H5Dcreate2(file, "tokens/values", H5T_STD_I32LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
  const char bytes[32] = {};
  H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, std::array<hsize_t, 1>{0}.data(), sizeof bytes, bytes);
  H5Dclose(dataset), H5Pclose(properties), H5Sclose(space), H5Gclose(group), H5Fclose(file);
  expect(at("run", "filtered.h5"), 66, {"filtered.h5", "tokens/values", "filter 32015"});
  EXPECT_FALSE(std::filesystem::exists(directory_ / "run/manifest.json"));
}

TEST_F(ScoreInput, BytesAreNotTheTokensOfAModelWithATokenizer) {
  const std::filesystem::path model = directory_ / "model";
  std::filesystem::copy(SWITCHYARD_DEMO_MODEL, model);
  directory_.write("model/tokenizer.json", "{}");
  directory_.write("text.jsonl", "{\"text\": \"some text\"}\n");
  directory_.write("ids.jsonl", "{\"tokens\": [1, 2, 3]}\n");
  for (const std::string name : {"text", "ids"}) {
    const ProcessResult imported = test::run({SWITCHYARD_PROGRAM, "import", "--jsonl", directory_ / (name + ".jsonl"),
                                              "--output", directory_ / (name + ".h5")});
    ASSERT_EQ(imported.exit_code, 0) << imported.err;
  }
  EXPECT_EQ(ScoringInput(directory_ / "text.h5").tokenizer()->kind, "bytes");
  EXPECT_FALSE(ScoringInput(directory_ / "ids.h5").tokenizer());

  ScoreCase c = at("run", "text.h5");
  expect(c, 0, {"has no tokenizer files", "bytes"});
  c.model = model;
  c.run = directory_ / "with-tokenizer";
  expect(c, 66, {"text.h5", "bytes", "tokenizer.json", "--allow-other-tokenizer"});
  ScoreCase allowed = c;
  allowed.options.push_back("--allow-other-tokenizer");
  expect(allowed, 0, {"warning", "tokenizer.json"});
  c.input = directory_ / "ids.h5";
  c.run = directory_ / "ids";
  expect(c, 0, {"does not say which tokenizer"});

  const auto with_hash = [&](const std::string& hash) {
    ScoringInputWriter writer(directory_ / "bpe.h5");
    writer.add(std::vector<int32_t>{1, 2}, 1, "a", "");
    writer.finish(TokenizerIdentity{"bpe", hash});
    c.input = directory_ / "bpe.h5";
    c.run = directory_ / "bpe";
  };
  with_hash(std::string(32, '0'));
  expect(c, 66, {"bpe.h5", "tokenizer.json"});
  with_hash(hash_of(std::as_bytes(std::span("{}", 2))).hex());
  expect(c, 0);
}

TEST_F(ScoreInput, DatasetsOfNoMeaningAreNamed) {
  const auto path = write("more.h5", {});
  {
    const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), group = H5Gcreate2(file, "of", 0, 0, 0);
    const hid_t space = H5Screate(H5S_SCALAR);
    H5Dclose(H5Dcreate2(file, "Context", H5T_STD_I32LE, space, 0, 0, 0));
    H5Dclose(H5Dcreate2(group, "mine", H5T_STD_I32LE, space, 0, 0, 0));
    H5Sclose(space);
    H5Gclose(group);
    H5Fclose(file);
  }
  expect(at("run", "more.h5"), 0, {"datasets of no meaning here are ignored: \"Context, of/mine\""});
}

TEST_F(ScoreInput, WhatIsNoScoringInputIsNamed) {
  directory_.write("records", "{\"text\": \"a\"}\n");
  expect(at("run", "records"), 66, {"records", "JSON", "--input-format jsonl"});
  directory_.write("book.old", "It was the best of times\n");
  expect(at("run", "book.old"), 66, {"book.old", "--input-format jsonl, text"});
  directory_.write("records.gz", "\x1f\x8b\x08");
  expect(at("run", "records.gz"), 66, {"gzip", "--input-format"});
  directory_.write("records.jsonl", "{\"text\": \"a\"}\n");
  expect(at("run", "records.jsonl"), 64, {"records.jsonl", "no tokenizer.json", "--tokenizer"});
  EXPECT_FALSE(std::filesystem::exists(directory_ / "run"));
}

TEST_F(ScoreInput, AnImportThatIsStoppedLeavesNothingBehind) {
  directory_.write("long.txt", "");
  std::filesystem::resize_file(directory_ / "long.txt", uint64_t{8} << 30);  // a sparse file: seconds to read
  std::filesystem::create_directory(directory_ / "out");
  test::Process import(
      {SWITCHYARD_PROGRAM, "import", "--text", directory_ / "long.txt", "--output", directory_ / "out/long.h5"});
  const auto files = [&] { return std::distance(std::filesystem::directory_iterator(directory_ / "out"), {}); };
  for (int i = 0; i < 200 && files() == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ASSERT_EQ(files(), 1);
  ::kill(import.pid(), SIGTERM);
  const ProcessResult result = import.wait();
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_EQ(files(), 0);
}

TEST_F(ScoreInput, ASampleIsTheRunsOwnAndNeverReplacesAnother) {
  const std::vector<std::string> some = {"--sample-tokens", "100"};
  const auto verify = [&](const std::string& run) {
    return test::run({SWITCHYARD_PROGRAM, "verify", directory_ / run, "--rescore", "2"});
  };
  expect(at("run", "input.h5", some), 0);
  EXPECT_EQ(verify("run").exit_code, 0) << verify("run").err;
  const std::string sample = bytes_of_file(directory_ / "run/input.h5");
  expect(at("run", "input.h5", {"--sample-tokens", "200"}), 78, {"run/input.h5", "sample_tokens", "100", "200"});
  std::filesystem::rename(directory_ / "input.h5", directory_ / "moved.h5");
  expect(at("run", "moved.h5", some), 0);
  ScoreCase other = at("run", "moved.h5", {"--sample-tokens", "100", "--per-token"});
  expect(other, 78, {"per_token"});
  write("tokens.h5", {.token = 'c'});
  expect(at("run", "tokens.h5", some), 78, {"run/input.h5", "other records", "tokens.h5"});
  const ProcessResult submitted = test::run(
      {SWITCHYARD_PROGRAM, "submit", "score", "--model", SWITCHYARD_DEMO_MODEL, "--input", directory_ / "moved.h5",
       "--run", directory_ / "run", "--dry-run", "--dtype", "f32", "--chunk-records", "4", "--sample-tokens", "100"});
  EXPECT_EQ(submitted.exit_code, 0) << submitted.err;
  EXPECT_TRUE(bytes_of_file(directory_ / "run/input.h5") == sample);
  EXPECT_EQ(verify("run").exit_code, 0);

  std::filesystem::create_directory(directory_ / "own");
  std::filesystem::copy_file(directory_ / "moved.h5", directory_ / "own/input.h5");
  const std::string own = bytes_of_file(directory_ / "own/input.h5");
  expect(at("own", "own/input.h5", some), 78, {"own/input.h5", "other origin"});
  EXPECT_TRUE(bytes_of_file(directory_ / "own/input.h5") == own);
}

TEST_F(ScoreInput, WithoutShardsResultsAndRejectsAreThoseOfTheMerge) {
  expect(at("run", "input.h5", {"--drop-shards"}), 0);
  EXPECT_FALSE(std::filesystem::exists(directory_ / "run/shards"));
  const auto verify = [&] { return test::run({SWITCHYARD_PROGRAM, "verify", directory_ / "run"}); };
  EXPECT_EQ(verify().exit_code, 0) << verify().err;
  expect(at("bf16", "input.h5", {"--dtype=bf16"}), 64);
  ScoreCase other = at("bf16");
  other.options[1] = "bf16";
  expect(other, 0);
  const std::string results = bytes_of_file(directory_ / "run/results.h5");
  directory_.write("run/results.h5", bytes_of_file(directory_ / "bf16/results.h5"));
  ProcessResult result = verify();
  EXPECT_EQ(result.exit_code, 66);
  EXPECT_NE(result.err.find("attribute numerics"), std::string::npos) << result.err;
  directory_.write("run/results.h5", results);
  directory_.write("run/rejects.jsonl", "\n");
  result = verify();
  EXPECT_EQ(result.exit_code, 66) << result.err;
}

TEST_F(ScoreInput, PathsAreBytes) {
  const std::string odd = "odd-\xff\xe9";
  std::filesystem::create_directory(directory_ / odd);
  std::filesystem::copy(SWITCHYARD_DEMO_MODEL, directory_ / odd / "model");
  write(odd + "/input.h5", {});
  ScoreCase c = at(odd + "/run", odd + "/input.h5");
  c.model = directory_ / odd / "model";
  expect(c, 0);
  EXPECT_NE(bytes_of_file(directory_ / odd / "run/manifest.json").find("\"bytes\": \""), std::string::npos);
  EXPECT_EQ(test::run({SWITCHYARD_PROGRAM, "verify", c.run, "--rescore", "2"}).exit_code, 0);
  EXPECT_EQ(test::run({SWITCHYARD_PROGRAM, "inspect", c.model, "--json"}).exit_code, 0);
  const ProcessResult status = test::run({SWITCHYARD_PROGRAM, "status", c.run, "--json"});
  EXPECT_EQ(status.exit_code, 0) << status.err;
  EXPECT_NE(status.out.find("\"bytes\""), std::string::npos) << status.out;
  directory_.write(odd + "/text.txt", "text");
  const ProcessResult imported = test::run({SWITCHYARD_PROGRAM, "import", "--text", directory_ / odd / "text.txt",
                                            "--output", directory_ / odd / "text.h5"});
  EXPECT_EQ(imported.exit_code, 0) << imported.err;
}

TEST_F(ScoreInput, WhatInspectTakesAndStatusDoesNotWaitFor) {
  const ProcessResult alone = test::run({SWITCHYARD_PROGRAM, "inspect", SWITCHYARD_DEMO_MODEL "/config.json"});
  EXPECT_EQ(alone.exit_code, 0) << alone.err;
  expect(at("run"), 0);
  for (const char* name : {"run/jobs.jsonl", "run/metrics.jsonl"}) {
    std::filesystem::remove(directory_ / name);
    ASSERT_EQ(::mkfifo((directory_ / name).c_str(), 0600), 0);
  }
  test::Process status({SWITCHYARD_PROGRAM, "status", directory_ / "run"});
  EXPECT_EQ(status.wait(std::chrono::seconds(20)).exit_code, 0);
}

TEST_F(ScoreInput, PathsThatLeadNowhereEndWithTheRightCode) {
  std::filesystem::create_symlink("loop", directory_ / "loop");
  const std::string long_name(300, 'x');
  for (const std::string& bad :
       {std::string("loop"), long_name, std::string("loop/below"), std::string("input.h5/below")}) {
    expect(at("run", bad), 66);
    ScoreCase c = at("run");
    c.model = directory_ / bad;
    expect(c, 66);
    expect(at(bad), 73);
    for (const char* job : {"verify", "settle", "status", "inspect"}) {
      const ProcessResult result = test::run({SWITCHYARD_PROGRAM, job, directory_ / bad});
      EXPECT_EQ(result.exit_code, 66) << job << " " << bad << ": " << result.err;
    }
    if (bad == "loop") continue;  // a rename puts the output in the link's place
    const ProcessResult imported = test::run(
        {SWITCHYARD_PROGRAM, "import", "--text", SWITCHYARD_DEMO_MODEL "/config.json", "--output", directory_ / bad});
    EXPECT_EQ(imported.exit_code, 73) << bad << ": " << imported.err;
  }
  EXPECT_FALSE(std::filesystem::exists(directory_ / "run"));
  // A working directory that is gone.
  const std::string command = "mkdir gone && cd gone && rmdir ../gone && exec " SWITCHYARD_PROGRAM;
  const auto in_a_gone_directory = [&](const std::string& arguments) {
    return test::run({"bash", "-c", "cd " + directory_.path().native() + " && " + command + " " + arguments});
  };
  EXPECT_EQ(in_a_gone_directory("score --model m --input i --run r").exit_code, 66);
  EXPECT_EQ(in_a_gone_directory("score --model " SWITCHYARD_DEMO_MODEL " --input i --run r").exit_code, 66);
  EXPECT_EQ(in_a_gone_directory("score --model " SWITCHYARD_DEMO_MODEL " --input " +
                                (directory_ / "input.h5").native() + " --run r")
                .exit_code,
            73);
  EXPECT_EQ(in_a_gone_directory("status r").exit_code, 66);
}

}  // namespace
}  // namespace switchyard
