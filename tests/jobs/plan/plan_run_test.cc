// `switchyard plan` and `calibrate` as a user runs them.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "io/json.h"
#include "tests/support/score_case.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

class PlanRunTest : public ::testing::Test {
 protected:
  PlanRunTest() {
    write_text_input(directory_ / "input.h5", 400, 60);
    write("profile.json", profile());
  }

  void write(const std::string& name, const std::string& text) const { std::ofstream(directory_ / name) << text; }

  /// One rank of a node, four cores: 10 GFLOP/s, 1 GB/s, and between two ranks 100 MB/s.
  static std::string profile(const std::string& cpu = "no such CPU", const std::string& device = "cpu") {
    Json rates = Json::array();
    const auto add = [&](const char* work, const char* dtype, std::vector<double> size, double amount, double seconds) {
      rates.push_back({{"work", work},
                       {"dtype", dtype},
                       {"samples", {{{"size", size}, {"amount", amount}, {"seconds", seconds}, {"count", 1}}}}});
    };
    for (const char* work : {"gemm", "cross_entropy"}) add(work, "f32", {256, 256, 256}, 1e10, 1);
    add("grouped_ffn", "f32", {64, 16, 64, 64}, 1e10, 1);
    add("attention", "f32", {64, 64, 2, 1024}, 1e10, 1);
    for (const char* work :
         {"rms_norm", "prepare_heads", "embedding", "gather_rows", "combine", "router_top_k", "group_by_expert"})
      add(work, "f32", {1e5}, 1e9, 1);
    add("between_ops", "f32", {1000, 64}, 1e6, 1);
    add("load", "f32", {1e6}, 1e9, 1);
    add("commit", "f32", {1e6}, 1e9, 1);
    add("exchange", "f32", {1e5, 2}, 1e8, 1);
    return Json{{"format", "switchyard profile 1"},
                {"made_by", "a test"},
                {"machine",
                 {{"cpu", cpu},
                  {"cpu_isa", "avx2"},
                  {"device", device},
                  {"cores", 4},
                  {"memory_bytes", int64_t{8} << 30},
                  {"device_memory_bytes", device == "cpu" ? 0 : int64_t{8} << 30}}},
                {"layouts", {{{"hosts", 1}, {"ranks_on_host", 2}, {"threads", 2}, {"rates", rates}}}}}
        .dump();
  }

  ProcessResult plan(const std::vector<std::string>& more, const std::string& job = "score") const {
    std::vector<std::string> words = {
        SWITCHYARD_PROGRAM,          "plan",    job,  "--model", SWITCHYARD_DEMO_MODEL, "--profile",
        directory_ / "profile.json", "--dtype", "f32"};
    words.insert(words.end(), {job == "score" ? "--input" : "--data", directory_ / "input.h5"});
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }
  static void expect(const ProcessResult& result, int code, std::initializer_list<std::string> named) {
    EXPECT_EQ(result.exit_code, code) << result.err;
    for (const std::string& part : named)
      EXPECT_NE((result.out + result.err).find(part), std::string::npos) << part << ": " << result.out << result.err;
  }

  const TemporaryDirectory directory_;
};

TEST_F(PlanRunTest, TellsWhatLayoutsTakeAndWhichIsCheapest) {
  const ProcessResult result = plan({"--nodes", "1,2,4", "--chunk-records", "10", "--json", "--csv",
                                     directory_ / "p.csv", "--report", directory_ / "p.html"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json table = parse_json(result.out, "the plan");
  ASSERT_EQ(table.at("layouts").size(), 3U);
  const auto number = [&](size_t row, const char* name) { return table["layouts"][row].at(name).get<double>(); };
  EXPECT_EQ(number(0, "ranks"), 2);
  EXPECT_NEAR(number(0, "work") / number(1, "work"), 2, 0.1);
  EXPECT_NEAR(number(0, "work") / number(2, "work"), 4, 0.3);
  EXPECT_GT(number(0, "tokens_per_second"), 0);
  EXPECT_GT(number(0, "memory_bytes"), 1e6);
  EXPECT_NE(to_text(table.at("notes")).find("no such CPU"), std::string::npos);
  EXPECT_NE(bytes_of_file(directory_ / "p.csv").find("tokens_per_second"), std::string::npos);
  EXPECT_NE(bytes_of_file(directory_ / "p.html").find("not measured"), std::string::npos);

  expect(plan({"--nodes", "1,4", "--chunk-records", "10"}), 0,
         {"cheapest: 1 node", "fastest: 4 nodes", "another machine's"});
  expect(plan({"--nodes", "1,2", "--over", "ep", "1,2"}), 0, {"[ep 2]", "[ep 1]"});
  expect(plan({"--nodes", "1", "--over", "ep", "1,2", "batch-tokens", "512,1024", "--csv", directory_ / "p.csv"}), 0,
         {"[ep 1, batch-tokens 512]", "[ep 1, batch-tokens 1024]", "[ep 2, batch-tokens 512]"});
  EXPECT_NE(bytes_of_file(directory_ / "p.csv").find("\"ep 2, batch-tokens 1024\",2,2,f32,"), std::string::npos);
}

TEST_F(PlanRunTest, OnGpusTheirHoursAreTold) {
  write("profile.json", profile("no such CPU", "NVIDIA H200"));
  const ProcessResult result = plan({"--nodes", "2", "--device", "cuda", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json layout = parse_json(result.out, "the plan").at("layouts").at(0);
  EXPECT_EQ(layout.at("ranks"), 4);
  EXPECT_NEAR(layout.at("gpu_hours").get<double>(), 2 * layout.at("node_hours").get<double>(), 1e-9);
  expect(plan({"--nodes", "2", "--device", "cuda"}), 0, {" GPU-hours; what limits it"});
}

TEST_F(PlanRunTest, TrainingIsPlannedToo) {
  expect(plan({"--nodes", "1,2", "--max-steps", "10", "--step-records", "16"}, "train"), 0,
         {"nodes", "not measured, and taken to cost nothing", "weight_gradient in f32"});
  // More ranks than slices.
  expect(plan({"--nodes", "8", "--tasks-per-node", "4", "--max-steps", "10", "--step-records", "16"}, "train"), 0,
         {"32    1"});
}

TEST_F(PlanRunTest, AYearsCostsStandInTableAndCsv) {
  write("workload.cfg",
        "tokens_per_night = 1e6\nupdates_per_month = 2\nupdate_node_hours = 3\nnode_hour_price = 4\n"
        "gpu_hour_price = 2\ngpu_tokens_per_second = 1000\ngpu_update_hours = 1\napi_price_per_million_tokens = 0.5\n");
  expect(plan({"--nodes", "1", "--workload", directory_ / "workload.cfg", "--csv", directory_ / "p.csv"}), 0,
         {"own nodes  updates:       288.00 for 72 hours", "rented GPUs  updates:        48.00 for 24 hours",
          "API  scoring:       182.50 for 3.65e+08 tokens"});
  const std::string csv = bytes_of_file(directory_ / "p.csv");
  EXPECT_NE(csv.find("own nodes,updates,72,0,288,EUR"), std::string::npos) << csv;
}

TEST_F(PlanRunTest, WhatCannotBeIsRefusedByName) {
  expect(plan({"--nodes", "1", "--over", "ep", "3"}), 64, {"--ep is 3"});
  expect(plan({"--nodes", "1", "--tasks-per-node", "8"}), 64, {"--tasks-per-node 8", "4 cores"});
  expect(plan({"--nodes", "0"}), 64, {"--nodes", "\"0\""});
  expect(plan({"--deadline", "soon"}), 64, {"--deadline soon"});
  expect(plan({"--over", "colour", "red"}), 64, {"colour"});
  expect(plan({"--over", "ep"}), 64, {"--over ep", "its list"});
  expect(plan({"--over", "ep", "1", "ep", "2"}), 64, {"--over ep 1 ep 2", "once"});
  expect(plan({"--over", "ep", "1,abc"}), 64, {"over ep", "abc"});
  expect(plan({"--over", "dtype", "f32,foo"}), 64, {"foo"});
  expect(plan({"--routing", directory_ / "nothing"}), 66, {"ranks.json"});
  expect(plan({"--report", directory_ / "profile.json"}), 64, {"profile.json would be written over"});
  write("workload.cfg", "tokens_per_night = 1e6\ngpu_hour_price = 2\n");
  expect(plan({"--workload", directory_ / "workload.cfg"}), 64, {"gpu_hour_price", "price without hours"});
  write("workload.cfg", "tokens_a_night = 1e6\n");
  expect(plan({"--workload", directory_ / "workload.cfg"}), 64, {"workload.cfg:1", "tokens_a_night"});
  write("profile.json", "{}");
  expect(plan({}), 66, {"profile.json", "format"});
  expect(run({SWITCHYARD_PROGRAM, "plan", "sleep"}), 64, {"score or train"});
  expect(run({SWITCHYARD_PROGRAM, "calibrate", "--output", directory_ / "own.json", "--dtypes", "f16"}), 64,
         {"dtype \"f16\"", "f32 or bf16"});
}

TEST_F(PlanRunTest, WhatIsCalibratedPredictsARun) {
  const std::string file = directory_ / "own.json";
  const std::vector<std::string> calibrate = {SWITCHYARD_PROGRAM, "calibrate", "--output", file,    "--widths",  "256",
                                              "--dtypes",         "f32",       "--jobs",   "score", "--threads", "1"};
  ASSERT_EQ(run(calibrate).exit_code, 0);
  const ProcessResult result =
      run({SWITCHYARD_PROGRAM, "score", "--model", SWITCHYARD_DEMO_MODEL, "--input", directory_ / "input.h5", "--run",
           directory_ / "run", "--dtype", "f32", "--threads", "1", "--profile", file});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("predicted: "), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("predicted were"), std::string::npos) << result.err;
  const Json ranks = parse_json(bytes_of_file(directory_ / "run/ranks.json"), "ranks.json");
  const double predicted = ranks.at("predicted").at("work"), taken = ranks.at("ranks")[0].at("work");
  EXPECT_GT(predicted, 0);
  // Tiny work on a busy machine: only that it is no other order of magnitude.
  EXPECT_LT(std::abs(std::log2(predicted / taken)), 3) << predicted << " s, " << taken << " s";

  write("other.json", profile());
  std::vector<std::string> other = calibrate;
  other[3] = directory_ / "other.json";
  expect(run(other), 78, {"no such CPU", "other.json"});
}

}  // namespace
}  // namespace switchyard::test
