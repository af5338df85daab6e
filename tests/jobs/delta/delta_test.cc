// `switchyard delta` as a user calls it: a base and what two months of training made of it.
#include <gtest/gtest.h>

#include <cstring>

#include "io/delta_file.h"
#include "io/json.h"
#include "tests/support/fixture_models.h"
#include "tests/support/score_case.h"
#include "tests/support/train_case.h"

namespace switchyard {
namespace {

using test::bytes_of_file;
using test::datasets;
using test::expect_same_files;
using test::ProcessResult;
using test::ScoreCase;
using test::TrainCase;
namespace fs = std::filesystem;

/// Files of a directory, by name.
std::map<std::string, std::string> files_of(const fs::path& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(directory))
    files[entry.path().filename()] = bytes_of_file(entry.path());
  return files;
}

/// Two months, made once: base (bf16), then may.delta, then june.delta with what rounding took.
class DeltaJobTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    case_ = new TrainCase;
    train("base", 0, {"--export", "bf16"});
    train("may", 0, {"--model", base(), "--export", "base"});
    delta(0, {"cut", path("may"), "--output", path("may.delta")});
    train("june", 2, {"--model", base(), "--delta", path("may.delta"), "--export", "f32", "--seed", "4"});
    delta(0, {"cut", path("june"), "--output", path("june.delta"), "--keep-master"});
  }
  static void TearDownTestSuite() {
    delete case_;
    case_ = nullptr;
  }

  static std::string path(const std::string& name) { return *case_ / name; }
  static std::string base() { return path("base/model"); }
  static ProcessResult train(const std::string& run, int ranks, std::vector<std::string> more,
                             std::initializer_list<std::string> named = {}) {
    more.insert(more.end(), {"--max-steps", "2", "--eval-steps", "0", "--save-steps", "0", "--learning-rate", "3e-4"});
    return case_->expect(run, 0, named, more, ranks);
  }
  /// Expects this exit code, and all of `named` in what is said.
  static ProcessResult delta(int code, std::vector<std::string> words, std::initializer_list<std::string> named = {}) {
    words.insert(words.begin(), {SWITCHYARD_PROGRAM, "delta"});
    ProcessResult result = test::run(words);
    EXPECT_EQ(result.exit_code, code) << result.err;
    for (const std::string& part : named)
      EXPECT_NE(result.err.find(part), std::string::npos) << part << " is not in: " << result.err;
    return result;
  }
  /// The model after these deltas, as a directory.
  static std::string applied(const std::vector<std::string>& deltas, const std::string& name) {
    if (fs::exists(path(name))) return path(name);
    std::vector<std::string> words{"apply", "--model", base(), "--output", path(name), "--delta"};
    words.insert(words.end(), deltas.begin(), deltas.end());
    delta(0, words);
    return path(name);
  }
  static Json json_of(const ProcessResult& result) { return parse_json(result.out, "what it printed"); }
  static Json manifest(const std::string& run) { return parse_json(bytes_of_file(path(run) + "/manifest.json"), run); }

  static TrainCase* case_;
};
TrainCase* DeltaJobTest::case_ = nullptr;

TEST_F(DeltaJobTest, BaseAndDeltaAreTheTrainedModelAndBack) {
  expect_same_files(files_of(applied({path("may.delta")}, "may-again")), files_of(path("may/model")));
  const std::string june = applied({path("may.delta"), path("june.delta")}, "june-again");
  delta(0, {"revert", "--model", june, "--delta", path("may.delta"), path("june.delta"), "--output", path("back/")});
  expect_same_files(files_of(path("back")), files_of(base()));
  const Json may = json_of(delta(0, {"info", path("may.delta"), "--json"}));
  EXPECT_EQ(may["base"], manifest("may")["fingerprint"]["model"]);
  EXPECT_EQ(may["result"], manifest("june")["fingerprint"]["model"]);
  const Json changes = parse_json(bytes_of_file(path("may/changes.json")), "changes.json");
  EXPECT_EQ(may["changed"], changes["changed"]);
  EXPECT_EQ(may["vanished"], changes["vanished"]);
  EXPECT_EQ(may["trained"], changes["trained"]);
  EXPECT_GT(changes["vanished"], 0);
  EXPECT_LT(changes["trained"], changes["parameters"]) << "routers stand still";
  EXPECT_FALSE(manifest("may")["fingerprint"].contains("master"));
  EXPECT_NE(delta(0, {"info", path("may.delta")}).out.find("model.layers.N.mlp.experts.N.up_proj.weight"),
            std::string::npos);
  EXPECT_EQ(json_of(delta(0, {"info", path("may.delta"), path("june.delta"), "--json"})).size(), 2u);
}

// June's delta keeps what rounding took of most elements: of those that stand still in July nothing has changed.
TEST_F(DeltaJobTest, WhatEarlierMonthsKeepIsNotCountedAgain) {
  train("frozen", 0,
        {"--model", base(), "--delta", path("may.delta"), path("june.delta"), "--export", "f32", "--select", "random",
         "--freeze", "0.999"});
  const Json changes = parse_json(bytes_of_file(path("frozen/changes.json")), "changes.json");
  EXPECT_GT(changes["changed"], 0);
  EXPECT_LE(changes["changed"], changes["trained"]);
  const Json frozen = json_of(delta(0, {"cut", path("frozen"), "--output", path("frozen.delta"), "--keep-master"}));
  EXPECT_LE(frozen["changed"].get<int64_t>() + frozen["vanished"].get<int64_t>(), changes["trained"].get<int64_t>());
  EXPECT_GT(frozen["masters"], changes["trained"]);
}

TEST_F(DeltaJobTest, WhatIsCountedIsTheFiles) {
  const Json cut = json_of(delta(0, {"cut", path("june"), "--output", path("none"), "--dry-run"}, {"vanished"}));
  EXPECT_FALSE(fs::exists(path("none")));
  EXPECT_EQ(cut["vanished"], json_of(delta(0, {"info", path("june.delta"), "--json"}))["vanished"]);
  EXPECT_EQ(cut["masters"], 0);
  uint64_t data = 0;
  for (const TensorInfo& tensor : read_safetensors_header(InputFile(path("may.delta")))) data += tensor.bytes;
  const Json may = json_of(delta(0, {"cut", path("may"), "--output", path("may-2.delta")}));
  EXPECT_EQ(may["bytes"], data);
  EXPECT_TRUE(bytes_of_file(path("may.delta")) == bytes_of_file(path("may-2.delta")));
  // Of two directories, where nobody knows what vanished.
  const Json narrow = json_of(
      delta(0, {"cut", "--model", base(), "--trained", path("may/model"), "--output", path("directories.delta")}));
  EXPECT_TRUE(narrow["vanished"].is_null());
  EXPECT_EQ(narrow["changed"], may["changed"]);
  // And larger than the model: f32 values of most elements.
  delta(0, {"cut", path("june"), "--output", path("large.delta"), "--keep-master"},
        {"warning", "larger than the model"});
  const Json nothing = json_of(delta(
      0, {"cut", "--model", base(), "--trained", base(), "--output", path("nothing.delta")}, {"changes nothing"}));
  EXPECT_EQ(nothing["bytes"], 0);
}

TEST_F(DeltaJobTest, ScoringWithDeltasIsScoringTheDirectory) {
  test::write_text_input(path("input.h5"), 40, 60);
  const std::string june = applied({path("may.delta"), path("june.delta")}, "june-again");
  const auto score = [&](const std::string& run, int ranks, const std::string& model,
                         const std::vector<std::string>& more) {
    std::vector<std::string> options{"--per-token"};
    options.insert(options.end(), more.begin(), more.end());
    test::expect({.input = path("input.h5"), .run = path(run), .ranks = ranks, .options = options, .model = model}, 0);
    return datasets(path(run) + "/results.h5");
  };
  const auto expected = score("s", 0, june, {});
  for (const int ranks : {1, 2, 3, 4}) {
    const std::string run = "s" + std::to_string(ranks);
    EXPECT_TRUE(score(run, ranks, base(), {"--delta", path("may.delta"), path("june.delta")}) == expected) << ranks;
    EXPECT_EQ(manifest(run)["fingerprint"], manifest("s")["fingerprint"]) << ranks;
    EXPECT_EQ(manifest(run)["info"]["deltas"], (Json{path("may.delta"), path("june.delta")}));
  }
  const ProcessResult verified = test::run({SWITCHYARD_PROGRAM, "verify", path("s3"), "--rescore", "5"});
  EXPECT_EQ(verified.exit_code, 0) << verified.err;
  const ProcessResult moved =
      test::run({SWITCHYARD_PROGRAM, "verify", path("s3"), "--rescore", "5", "--delta", path("may.delta")});
  EXPECT_EQ(moved.exit_code, 78) << moved.err;
  const ProcessResult seen =
      test::run({SWITCHYARD_PROGRAM, "inspect", base(), "--delta", path("may.delta"), path("june.delta"), "--json"});
  EXPECT_EQ(parse_json(seen.out, "inspect")["deltas"].size(), 2u) << seen.err;
}

TEST_F(DeltaJobTest, TrainingWithDeltasIsTrainingTheDirectory) {
  train("june-direct", 0, {"--model", path("may/model"), "--export", "f32", "--seed", "4"});
  expect_same_files(case_->files("june-direct"), case_->files("june"));
  const ProcessResult verified = test::run({SWITCHYARD_PROGRAM, "verify", path("june"), "--from", "0"});
  EXPECT_EQ(verified.exit_code, 0) << verified.err;
}

/// As if nothing had ever been rounded.
TEST_F(DeltaJobTest, TrainingGoesOnFromTheValuesBeforeRounding) {
  const auto more = [](std::vector<std::string> model) {
    model.insert(model.end(), {"--export", "f32", "--seed", "5"});
    return model;
  };
  train("july", 2, more({"--model", base(), "--delta", path("may.delta"), path("june.delta")}), {"go on from the f32"});
  train("july-direct", 0, more({"--model", path("june/model")}));
  const auto with_deltas = case_->files("july"), direct = case_->files("july-direct");
  for (const char* file : {"metrics.jsonl", "model/model.safetensors"})
    EXPECT_TRUE(with_deltas.at(file) == direct.at(file)) << file;
  EXPECT_EQ(manifest("july")["fingerprint"]["master"], *DeltaFile(path("june.delta")).find_field(delta_field::kMaster));
  const ProcessResult verified = test::run({SWITCHYARD_PROGRAM, "verify", path("july"), "--from", "0"});
  EXPECT_EQ(verified.exit_code, 0) << verified.err;
  delta(0, {"cut", path("july"), "--output", path("july.delta")});
  train("august", 0, more({"--model", base(), "--delta", path("may.delta"), path("june.delta"), path("july.delta")}),
        {"no f32 values to go on from", "july.delta"});
}

TEST_F(DeltaJobTest, WhatCannotBeIsRefused) {
  const auto score = [&](int code, const std::vector<std::string>& deltas, std::initializer_list<std::string> named,
                         int ranks = 0) {
    test::write_text_input(path("input.h5"), 4, 20);
    std::vector<std::string> options{"--delta"};
    options.insert(options.end(), deltas.begin(), deltas.end());
    test::expect(
        {.input = path("input.h5"), .run = path("refused"), .ranks = ranks, .options = options, .model = base()}, code,
        named);
  };
  const std::string may = path("may.delta"), june = path("june.delta");
  score(66, {june, may}, {"another order", june, may});
  score(66, {june}, {"wrong base", june}, 2);
  score(66, {path("gone.delta")}, {"gone.delta"});
  std::string bytes = bytes_of_file(june);
  case_->directory().write("torn.delta", bytes.substr(0, bytes.size() - 1));
  score(66, {path("torn.delta")}, {"torn.delta", "cut short"});
  bytes = bytes_of_file(may);
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  bytes[sizeof header + header] ^= 4;  // of the first tensor's changed bits
  case_->directory().write("damaged.delta", bytes);
  score(66, {path("damaged.delta")}, {"damaged.delta", "it is damaged"}, 3);
  case_->expect("refused-too", 66, {"damaged.delta", "it is damaged"},
                {"--model", base(), "--delta", path("damaged.delta")});
  case_->expect("refused-too", 64, {"--delta", "--model"}, {"--delta", may});

  bytes = bytes_of_file(june);
  bytes[bytes.size() - 1] ^= 1;  // of a bitmap
  case_->directory().write("torn.delta", bytes);
  delta(66, {"info", path("torn.delta")}, {"torn.delta", "bitmap"});
  delta(66, {"cut", path("base"), "--output", path("x")}, {"new weights"});
  delta(66, {"cut", path("input.h5"), "--output", path("x")}, {"manifest.json"});
  delta(66, {"cut", path("may"), "--model", path("may/model"), "--output", path("x")}, {"wrong base"});
  delta(66, {"cut", path("may"), "--output", path("x"), "--keep-master"}, {"--export f32"});
  delta(66, {"diff", may, path("may/model/model.safetensors")}, {"expected a delta of format"});
  delta(73, {"apply", "--model", base(), "--delta", may, "--output", path("may")}, {"already"});
  delta(73, {"apply", "--model", base(), "--delta", may, "--output", path("input.h5/x")}, {"input.h5"});
  delta(64, {"apply", "--model", base(), "--output", path("x")}, {"--delta is missing"});
  delta(64, {"cut", path("may")}, {"--output"});
  delta(64, {"cut", path("june"), "--output", may}, {"would be overwritten"});
  delta(73, {"cut", path("may"), "--output", path("june.delta")}, {"june.delta", "already"});
  delta(64, {"mend", may}, {"cut RUN", "mend"});
  delta(64, {"info", may, "--output", path("x")}, {"--output is not for it"});
  delta(64, {"diff", may}, {"diff FILE FILE"});
  const std::string codes = test::model_path("gptoss-mxfp4");
  delta(66, {"cut", "--model", codes, "--trained", codes, "--output", path("x")}, {"tensor ", "codes with scales"});
  EXPECT_FALSE(fs::exists(path("x")));
}

TEST_F(DeltaJobTest, SubmitLooksForDeltas) {
  for (const std::vector<std::string>& job : {std::vector<std::string>{"score", "--input", path("learn.txt")},
                                              {"train", "--data", path("learn.txt"), "--max-steps", "1"}}) {
    std::vector<std::string> words{SWITCHYARD_PROGRAM, "submit"};
    words.insert(words.end(), job.begin(), job.end());
    words.insert(words.end(), {"--model", base(), "--run", path("submitted"), "--tokenizer", "bytes", "--dry-run",
                               "--delta", path("may.delta")});
    const ProcessResult good = test::run(words);
    EXPECT_EQ(good.exit_code, 0) << good.err;
    EXPECT_NE(good.out.find("--delta"), std::string::npos) << good.out;
    std::vector<std::string> other = words;
    std::ranges::replace(other, base(), std::string(SWITCHYARD_TEST_DATA "/models/mixtral-window"));
    const ProcessResult unfit = test::run(other);
    EXPECT_EQ(unfit.exit_code, 66) << unfit.err;
    EXPECT_NE(unfit.err.find("may.delta: tensor "), std::string::npos) << unfit.err;
    words.push_back(path("gone.delta"));
    const ProcessResult gone = test::run(words);
    EXPECT_EQ(gone.exit_code, 66) << gone.err;
    EXPECT_NE(gone.err.find("gone.delta"), std::string::npos) << gone.err;
  }
}

/// The reader that docs/deltas.md shows, as it stands there.
TEST_F(DeltaJobTest, TenLinesOfPythonGiveTheSameBytes) {
  if (test::run({"python3", "-c", "import numpy, safetensors.numpy"}).exit_code != 0)
    GTEST_SKIP() << "python3 has no numpy, or no safetensors";
  const std::string document = bytes_of_file(fs::path(SWITCHYARD_DEMO_MODEL) / "../../docs/deltas.md");
  const size_t begin = document.find("```python\n") + 10;
  case_->directory().write("reader.py", document.substr(begin, document.find("```", begin) - begin));
  const std::string model = path("by-python.safetensors");
  fs::copy_file(base() + "/model.safetensors", model);
  const auto patch = [&](const std::string& delta) {
    const ProcessResult result = test::run({"python3", path("reader.py"), model, delta});
    EXPECT_EQ(result.exit_code, 0) << result.err;
  };
  for (const char* delta : {"may.delta", "june.delta"}) patch(path(delta));
  const std::string june = applied({path("may.delta"), path("june.delta")}, "june-again");
  EXPECT_TRUE(bytes_of_file(model) == bytes_of_file(june + "/model.safetensors"));
  for (const char* delta : {"june.delta", "may.delta"}) patch(path(delta));
  EXPECT_TRUE(bytes_of_file(model) == bytes_of_file(base() + "/model.safetensors"));
}

}  // namespace
}  // namespace switchyard
