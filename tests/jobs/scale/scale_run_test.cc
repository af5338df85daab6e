// Whole scaling studies on this machine.
#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "io/json.h"
#include "tests/support/score_case.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

class ScaleRunTest : public ::testing::Test {
 protected:
  ScaleRunTest() { write_text_input(directory_ / "input.h5", 1000, 60); }

  std::vector<std::string> command(const std::string& run, const std::vector<std::string>& more = {},
                                   const std::string& job = "score") const {
    std::vector<std::string> words = {SWITCHYARD_PROGRAM,
                                      "scale",
                                      job,
                                      "--mode",
                                      "strong",
                                      "--local",
                                      "--ranks",
                                      "1,2",
                                      "--reps",
                                      "2",
                                      "--run",
                                      directory_ / run,
                                      "--model",
                                      SWITCHYARD_DEMO_MODEL,
                                      "--threads",
                                      "1",
                                      "--dtype",
                                      "f32",
                                      "--lease-timeout",
                                      "2"};
    words.insert(words.end(), {job == "score" ? "--input" : "--data", directory_ / "input.h5"});
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  static void expect(const ProcessResult& result, int code, std::initializer_list<std::string> named = {}) {
    EXPECT_EQ(result.exit_code, code) << result.err;
    for (const std::string& part : named)
      EXPECT_NE(result.err.find(part), std::string::npos) << part << ": " << result.err;
  }
  Json json(const std::string& name) const { return parse_json(bytes_of_file(directory_ / name), name); }

  const TemporaryDirectory directory_;
};

TEST_F(ScaleRunTest, KilledAndResumedEveryPointIsMeasuredInOneSitting) {
  const std::vector<std::string> words = command("study", {"--sample-tokens", "20000", "--chunk-records", "100"});
  const auto points_done = [&] {
    std::error_code none;
    return std::distance(std::filesystem::directory_iterator(directory_ / "study/collected", none), {});
  };
  Process process(words);
  while (points_done() < 1 && process.running()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));  // into the next one
  ::kill(process.pid(), SIGKILL);
  process.wait();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  ASSERT_LT(points_done(), 4) << "too short to be disturbed";
  expect(run(words), 0, {"4 of 4 points are complete"});

  const Json study = json("study/scaling.json");
  EXPECT_EQ(study.at("same_result_bits"), true);
  ASSERT_EQ(study.at("points").size(), 4U);
  for (const Json& point : study.at("points")) {
    EXPECT_EQ(point.at("state"), "complete");
    EXPECT_EQ(point.at("attempts"), 1);
    EXPECT_NEAR(point.at("tokens").get<double>(), 20000, 300);
    EXPECT_EQ(std::to_string(point.at("world_size").get<int>()), point.at("ranks"));
    // What is measured is the ranks' time, but for a hundredth: of a run this short a little more.
    EXPECT_NEAR(point.at("other").get<double>(), 0, 0.05);
    EXPECT_NEAR(point.at("load").get<double>() + point.at("work").get<double>() + point.at("finish").get<double>(),
                point.at("total").get<double>(), 0.1);
  }
  const std::string page = bytes_of_file(directory_ / "study/report.html");
  for (const char* part : {"strong scaling of score", "All points with the same work have the same result", "speed-up",
                           "load balance", "Every measurement"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
  EXPECT_EQ(bytes_of_file(directory_ / "study/extrap.txt").substr(0, 37), "PARAMETER ranks\n\nPOINTS 1\nPOINTS 2\n\nR");
  expect(run({SWITCHYARD_PROGRAM, "collect", directory_ / "study"}), 0, {"4 of 4 points are complete"});
}

TEST_F(ScaleRunTest, TrainingHasTheSameModelAtEverySize) {
  expect(run(command("train", {"--max-steps", "2", "--step-records", "4", "--max-tokens", "64", "--over", "ep", "1"},
                     "train")),
         0, {"4 of 4 points are complete"});
  EXPECT_EQ(json("train/scaling.json").at("same_result_bits"), true);
}

TEST_F(ScaleRunTest, WhatDoesNotFitIsRefusedByName) {
  const auto with = [&](const std::vector<std::string>& more) { return run(command("none", more)); };
  expect(with({"--nodes", "1"}), 64, {"expected --nodes LIST, or --local --ranks LIST"});
  expect(with({"--over", "ep", "1,3"}), 64, {"point", ", ep 3", "--ep 3 does not divide"});
  expect(with({"--over", "color", "1"}), 64, {"--over color", "ep, tasks-per-node, threads, batch-tokens, dtype"});
  std::vector<std::string> text = command("none", {"--over", "batch-tokens", "64,128"});
  *std::ranges::find(text, (directory_ / "input.h5").native()) = directory_.write("lines.txt", "a\n\nb\n");
  expect(run(text), 64, {"--over batch-tokens", "lines.txt", "--max-tokens"});
  expect(with({"--over", "ep"}), 64, {"--over ep 1,2", "found 1 words"});
  expect(with({"--over", "threads", "1,2"}), 64, {"--over threads", "--threads is given as well"});
  expect(with({"--delta", directory_ / "gone.safetensors"}), 66, {"gone.safetensors"});
  std::vector<std::string> words = command("none");
  words[7] = "1,two";
  expect(run(words), 64, {"--ranks 1,two", "found \"two\""});
  words = command("none");
  words[4] = "weak";
  expect(run(words), 64, {"--mode weak", "--sample-tokens N"});
  words.insert(words.end(), {"--sample-tokens", "5000000000000000000"});
  expect(run(words), 64, {"--sample-tokens 5000000000000000000", "2 ranks", "at most 9223372036854775807"});
  words.resize(words.size() - 2);
  words[2] = "verify";
  expect(run(words), 64, {"expected score or train, found \"verify\""});
  EXPECT_FALSE(std::filesystem::exists(directory_ / "none"));
  expect(run({SWITCHYARD_PROGRAM, "collect", directory_.path()}), 66,
         {"expected the folder of a sweep or a scaling study"});
}

TEST_F(ScaleRunTest, AnotherStudysFolderIsRefusedByField) {
  const std::vector<std::string> some = {"--sample-tokens", "500"};
  expect(run(command("study", some)), 0);
  expect(run(command("study", {"--sample-tokens", "600"})), 78, {"study/manifest.json", "sample-tokens", "500", "600"});
  expect(run(command("study", {"--sample-tokens", "500", "--over", "dtype", "bf16"})), 64,
         {"--dtype is given as well"});
}

}  // namespace
}  // namespace switchyard::test
