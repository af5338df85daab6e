// What a training run refuses, with which exit code and naming what; and what it heals.
#include <gtest/gtest.h>

#include "io/input.h"
#include "tests/support/fixture_models.h"
#include "tests/support/train_case.h"

namespace switchyard {
namespace {

using test::bytes_of_file;
using test::TrainCase;

class TrainRefusals : public ::testing::Test {
 protected:
  /// An input of two records of ten tokens below 256 in which so many are given.
  std::filesystem::path input(const std::string& name, int32_t context, int32_t token = 'a') const {
    ScoringInputWriter writer(case_ / name);
    const std::vector<int32_t> tokens(10, token);
    for (int i = 0; i < 2; ++i) writer.add(tokens, context, "r" + std::to_string(i), "");
    writer.finish();
    return case_ / name;
  }
  bool exists(const std::string& path) const { return std::filesystem::exists(case_ / path); }
  void write(const std::string& path, const std::string& text) const { case_.directory().write(path, text); }

  const TrainCase case_;
};

TEST_F(TrainRefusals, Options) {
  case_.expect("run", 64, {"--learning-rate", "nan"}, {"--learning-rate", "nan"});
  case_.expect("run", 64, {"--model", "--init", "both"}, {"--model", case_ / ".", "--init", case_ / "config.json"});
  case_.expect("run", 69, {"cuda", "CPUs"}, {"--device", "cuda"});
  case_.expect("run", 64, {"--ep is 2"}, {"--ep", "2"});
  case_.expect("run", 69, {"memory", "weights"}, {"--memory-gib", "0.0001"});
  case_.expect("run", 64, {"--max-steps", "33554432"}, {"--max-steps", "100000000"});
  case_.expect("run", 64, {"--epochs 30000000", "steps, expected at most 33554432"},
               {"--max-steps", "0", "--epochs", "30000000"});
  EXPECT_FALSE(exists("run/manifest.json"));
}

TEST_F(TrainRefusals, Data) {
  write("empty.txt", "");
  case_.expect("run", 66, {"data-0.h5", "found none"}, {"--data", case_ / "empty.txt"});
  case_.expect("run", 66, {"masked.h5", "nothing but context"}, {"--data", input("masked.h5", 10)});
  case_.expect("run", 66, {"wide.h5", "token 0 is 300"}, {"--data", input("wide.h5", 1, 300)});
  case_.expect("run", 66, {"gone.h5"}, {"--data", case_ / "gone.h5"});
  EXPECT_FALSE(exists("run/manifest.json"));
}

TEST_F(TrainRefusals, TokensOfAnotherTokenizer) {
  case_.expect("made", 75, {}, {"--stop-after", "1"});
  write("tokenizer.json", "{}");
  const std::string data = case_ / "made" / "data-0.h5";
  case_.expect("run", 66, {"--data", data, "tokenizer"}, {"--data", data, "--eval-data", data});
  EXPECT_FALSE(exists("run/manifest.json"));
  case_.expect("run", 0, {}, {"--data", data, "--eval-data", data, "--allow-other-tokenizer"});
}

// Found out before a step is trained.
TEST_F(TrainRefusals, ABaseOfCodesCannotBeWrittenAgain) {
  std::vector<std::string> command = {SWITCHYARD_PROGRAM,
                                      "train",
                                      "--run",
                                      case_ / "run",
                                      "--data",
                                      case_ / "learn.txt",
                                      "--tokenizer",
                                      "bytes",
                                      "--max-steps",
                                      "1",
                                      "--threads",
                                      "1",
                                      "--model",
                                      test::model_path("qwen3moe-linear"),
                                      "--allow-other-tokenizer"};
  const auto refused = test::run(command);
  EXPECT_EQ(refused.exit_code, 66) << refused.err;
  EXPECT_NE(refused.err.find("expected --export f32 or bf16"), std::string::npos) << refused.err;
  EXPECT_FALSE(exists("run"));
  command.insert(command.end(), {"--export", "bf16"});
  const auto trained = test::run(command);
  EXPECT_EQ(trained.exit_code, 0) << trained.err;
}

TEST_F(TrainRefusals, SubmitFindsWhatTheJobWould) {
  case_.expect("run", 75, {}, {"--stop-after", "2"});
  const auto submit = [&](const std::vector<std::string>& more) {
    std::vector<std::string> command = case_.command("run", 0, more);
    command.insert(command.begin() + 1, "submit");
    command.insert(command.end(), {"--dry-run"});
    return test::run(command);
  };
  const auto expect = [&](int code, std::initializer_list<std::string> named, const std::vector<std::string>& more) {
    const auto result = submit(more);
    EXPECT_EQ(result.exit_code, code) << result.err;
    for (const std::string& part : named) EXPECT_NE(result.err.find(part), std::string::npos) << part << result.err;
  };
  const auto script = submit({});
  EXPECT_EQ(script.exit_code, 0) << script.err;
  EXPECT_NE(script.out.find(" train "), std::string::npos) << script.out;
  expect(66, {"gone.txt"}, {"--data", case_ / "gone.txt"});
  expect(64, {"--data -"}, {"--data", "-"});
  expect(64, {"--learning-rate"}, {"--learning-rate", "nan"});
  expect(69, {"cuda"}, {"--device", "cuda"});
  expect(64, {"--ep 3", "4 ranks"}, {"--ep", "3", "--nodes", "2", "--tasks-per-node", "2"});
  expect(78, {"learning_rate", "steps", "24"}, {"--learning-rate", "1e-2", "--max-steps", "24"});
  expect(78, {"--dtype"}, {"--dtype", "bf16"});
  expect(78, {"data"}, {"--data", input("other.h5", 1)});
}

TEST_F(TrainRefusals, AVocabularyThatIsSmallerThanTheTokenizers) {
  std::string config = bytes_of_file(case_ / "config.json");
  const std::string own = "\"vocab_size\": 256";
  config.replace(config.find(own), own.size(), "\"vocab_size\": 200");
  write("config.json", config);
  case_.expect("run", 66, {"256", "200"});
  EXPECT_FALSE(exists("run"));
}

TEST_F(TrainRefusals, OtherOptionsOrDataOnResumeAreNamed) {
  case_.expect("run", 75, {}, {"--stop-after", "2"});
  const auto before = case_.files("run");
  case_.expect("run", 78, {"learning_rate", "0.003", "0.01"}, {"--learning-rate", "1e-2"});
  case_.expect("run", 78, {"seed", "steps", "24"}, {"--seed", "4", "--max-steps", "24"});
  case_.expect("run", 78, {"learn.txt"}, {"--data", case_ / "held-out.txt"});
  case_.expect("run", 78, {"numerics"}, {"--dtype", "bf16"});
  test::expect_same_files(case_.files("run"), before);
  case_.expect("run", 0, {"resuming: 2 of 12 steps"});
}

TEST_F(TrainRefusals, AnotherModelOnResumeIsNamed) {
  case_.expect("made", 0, {}, {"--max-steps", "2"});
  const std::vector<std::string> base = {"--model", case_ / "made/model"};
  case_.expect("run", 75, {}, {"--model", case_ / "made/model", "--stop-after", "2"});
  const auto before = case_.files("run");
  const std::string weights = bytes_of_file(case_ / "made/model/model.safetensors");
  std::string others = weights;
  others[others.size() - 4] ^= 1;
  write("made/model/model.safetensors", others);
  case_.expect("run", 78, {"model"}, base);
  std::string config = bytes_of_file(case_ / "config.json");
  config.replace(config.find("10000"), 5, "20000");
  write("config.json", config);
  case_.expect("run", 78, {"config"}, {"--init", case_ / "config.json"});
  test::expect_same_files(case_.files("run"), before);
  write("made/model/model.safetensors", weights);
  case_.expect("run", 0, {"resuming: 2 of 12 steps"}, base);
}

TEST_F(TrainRefusals, ADamagedCheckpointIsSetAsideForTheOneBefore) {
  case_.expect("run", 0);
  const auto expected = case_.files("run");
  std::filesystem::remove_all(case_ / "run/model");
  const std::string newest = "run/checkpoints/step-000012", before = "run/checkpoints/step-000010";
  std::string bytes = bytes_of_file(case_ / newest / "state-00000.safetensors");
  bytes[bytes.size() / 2] ^= 1;
  write(newest + "/state-00000.safetensors", bytes);
  case_.expect("run", 0, {"step-000012.damaged", "state-00000.safetensors", "going on from step 10"});
  EXPECT_TRUE(exists(newest + ".damaged"));
  std::filesystem::remove_all(case_ / (newest + ".damaged"));
  test::expect_same_files(case_.files("run"), expected);

  std::filesystem::remove_all(case_ / "run/model");
  std::filesystem::remove(case_ / newest / "state-00000.safetensors");
  write(before + "/checkpoint.json", "{\"format\"");
  for (const char* older : {"run/checkpoints/step-000008", "run/checkpoints/step-000004"})
    if (exists(older)) std::filesystem::remove_all(case_ / older);
  case_.expect("run", 66, {"no checkpoint of the run is whole"});
  EXPECT_TRUE(exists(newest + ".damaged"));
  EXPECT_FALSE(exists("run/model"));
}

TEST_F(TrainRefusals, ADiskThatFillsUpInACheckpointLeavesTheLastOne) {
  case_.expect("quiet", 0);
  case_.expect("run", 75, {}, {"--stop-after", "4"});
  // Files end at some KiB: what is said of a step still fits, the state does not.
  std::string line = "ulimit -f 64; exec";
  for (const std::string& word : case_.command("run", 0)) line += " '" + word + "'";
  const auto full = test::run({"bash", "-c", line}, test::mpi_environment());
  EXPECT_EQ(full.exit_code, 73) << full.err;
  EXPECT_TRUE(exists("run/checkpoints/step-000004/checkpoint.json"));
  EXPECT_FALSE(exists("run/checkpoints/step-000006"));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(case_ / "run"))
    EXPECT_EQ(entry.path().native().find(".tmp-"), std::string::npos) << entry.path();
  case_.expect("run", 0, {"resuming: 4 of 12 steps"});
  test::expect_same_files(case_.files("run"), case_.files("quiet"));
}

}  // namespace
}  // namespace switchyard
