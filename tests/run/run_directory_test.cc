#include "run/run_directory.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "io/file.h"
#include "run/attempts.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::fails;

class RunDirectoryTest : public ::testing::Test {
 protected:
  /// A run of nine chunks of ten records.
  void begin() const {
    run_.create();
    run_.check_or_write_manifest({}, units_, Json::object());
    std::filesystem::create_directory(units_.folder(run_.root()));
  }
  void finish(int64_t unit) const { write_file_atomically(units_.file(run_.root(), unit), "x"); }

  test::TemporaryDirectory directory_;
  RunDirectory run_{directory_ / "run"};
  const WorkUnits units_ = [] {
    WorkUnits units = WorkUnits::of_items(85, 10);
    units.name = "chunks";
    units.items = "records";
    units.files = "shards/chunk-*.h5";
    return units;
  }();
};

TEST_F(RunDirectoryTest, AnotherFingerprintIsRefusedByField) {
  run_.create();
  run_.check_or_write_manifest({{"model", "abc"}, {"numerics", "r1"}}, units_, {{"note", 1}});
  run_.check_or_write_manifest({{"model", "abc"}, {"numerics", "r1"}}, units_, {{"note", 2}});
  run_.check_manifest({{"numerics", "r1"}});
  EXPECT_TRUE(fails(ExitCode::mismatch, {"model", "abc", "xyz"}, [&] {
    run_.check_or_write_manifest({{"model", "xyz"}, {"numerics", "r1"}}, units_, {});
  }));
  EXPECT_TRUE(fails(ExitCode::mismatch, {"numerics", "r2"}, [&] { run_.check_manifest({{"numerics", "r2"}}); }));
  EXPECT_NE(fingerprint_hash({{"a", "bc"}}), fingerprint_hash({{"ab", "c"}}));
}

TEST_F(RunDirectoryTest, WhatARunMakesBeforeItsManifestIsNotForeign) {
  std::filesystem::create_directory(run_.root());
  for (const char* name : {"input.h5", "data-0.h5", "data-12.h5.rejects.jsonl", "eval-data-0.h5", "state.json.tmp"})
    write_file_atomically(run_.root() / name, "x");
  run_.create();
  write_file_atomically(run_.root() / "my-data-0.h5", "x");
  EXPECT_TRUE(fails(ExitCode::output, {"my-data-0.h5"}, [&] { run_.create(); }));
}

TEST_F(RunDirectoryTest, StateReadsBack) {
  run_.create();
  EXPECT_FALSE(run_.find_state());
  run_.write_state(
      {RunStatus::interrupted, 9, 4, 90, 40, 1, 75, "17.2", "stopped \"on\" request", "chunks", "records"});
  const RunState state = run_.read_state();
  EXPECT_EQ(state.status, RunStatus::interrupted);
  EXPECT_EQ(state.units, "chunks");
  EXPECT_EQ(state.units_done, 4);
  EXPECT_EQ(state.items_total, 90);
  const Json json = parse_json(read_text_file(run_.state_path()), "state");
  EXPECT_EQ(json.at("chunks_done"), 4);
  EXPECT_EQ(json.at("records_done"), 40);
  EXPECT_EQ(state.exit_code, 75);
  EXPECT_EQ(state.attempt, "17.2");
  EXPECT_EQ(state.message, "stopped \"on\" request");
}

TEST_F(RunDirectoryTest, UnitsAreAsTheManifestSays) {
  EXPECT_FALSE(run_.find_units());
  EXPECT_EQ(run_.units_present().units, 0);
  begin();
  EXPECT_EQ(run_.find_units(), units_);
  for (const int64_t unit : {0, 8, 12}) finish(unit);  // the last is of another input
  EXPECT_EQ(run_.units_present().units, 2);
  EXPECT_EQ(run_.units_present().items, 10 + 5);
}

TEST_F(RunDirectoryTest, AManifestOfAnEarlierFormatIsRefused) {
  run_.create();
  directory_.write("run/manifest.json", R"({"format":3,"fingerprint":{},"info":{}})");
  EXPECT_TRUE(fails(ExitCode::mismatch, {"manifest.json", "format 4", "found 3"}, [&] { run_.read_manifest(); }));
}

TEST_F(RunDirectoryTest, AttemptsNeverShareAFolder) {
  run_.create();
  const AttemptRecord first = begin_attempt(run_), second = begin_attempt(run_);
  EXPECT_NE(first.path, second.path);
  EXPECT_EQ(first.number, 1);
  EXPECT_EQ(second.number, 2);
}

TEST_F(RunDirectoryTest, AnAttemptIsNamedAfterItsSlurmJobWhoseLogsMayBeThere) {
  run_.create();
  ::setenv("SLURM_JOB_ID", "17", 1);
  ::setenv("SLURM_RESTART_COUNT", "2", 1);
  std::filesystem::create_directory(run_.attempts_path() / "17.2");
  const AttemptRecord first = begin_attempt(run_), again = begin_attempt(run_);
  ::unsetenv("SLURM_JOB_ID");
  ::unsetenv("SLURM_RESTART_COUNT");
  EXPECT_EQ(first.name(), "17.2");
  EXPECT_EQ(again.name(), "17.2.1");
}

TEST_F(RunDirectoryTest, AttemptsThatFinishNothingAreCounted) {
  begin();
  EXPECT_EQ(fruitless_attempts(run_), 0);
  begin_attempt(run_);
  finish(0);
  EXPECT_EQ(fruitless_attempts(run_), 0);
  begin_attempt(run_);
  begin_attempt(run_);
  EXPECT_EQ(fruitless_attempts(run_), 2);
  finish(1);
  EXPECT_EQ(fruitless_attempts(run_), 0);
  for (int i = 0; i < 12; ++i) begin_attempt(run_);  // also in order beyond one digit
  EXPECT_EQ(fruitless_attempts(run_), 12);
}

TEST_F(RunDirectoryTest, AForeignDirectoryIsRefused) {
  std::filesystem::create_directory(directory_ / "run");
  directory_.write("run/thesis.tex", "precious");
  EXPECT_TRUE(fails(ExitCode::output, {"thesis.tex"}, [&] { run_.create(); }));
  std::filesystem::remove(directory_ / "run/thesis.tex");
  std::filesystem::create_directory(directory_ / "run/shards");  // of a run whose manifest was removed
  EXPECT_TRUE(fails(ExitCode::output, {"shards"}, [&] { run_.create(); }));
  run_.create("shards");
}

}  // namespace
}  // namespace switchyard
