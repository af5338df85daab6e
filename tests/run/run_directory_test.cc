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
  test::TemporaryDirectory directory_;
  RunDirectory run_{directory_ / "run"};
};

TEST_F(RunDirectoryTest, AnotherFingerprintIsRefusedByField) {
  run_.create();
  run_.check_or_write_manifest({{"model", "abc"}, {"numerics", "r1"}}, {{"note", 1}});
  run_.check_or_write_manifest({{"model", "abc"}, {"numerics", "r1"}}, {{"note", 2}});
  run_.check_manifest({{"numerics", "r1"}});
  EXPECT_TRUE(fails(ExitCode::mismatch, {"model", "abc", "xyz"}, [&] {
    run_.check_or_write_manifest({{"model", "xyz"}, {"numerics", "r1"}}, {});
  }));
  EXPECT_TRUE(fails(ExitCode::mismatch, {"numerics", "r2"}, [&] { run_.check_manifest({{"numerics", "r2"}}); }));
  EXPECT_NE(fingerprint_hash({{"a", "bc"}}), fingerprint_hash({{"ab", "c"}}));
}

TEST_F(RunDirectoryTest, StateReadsBack) {
  run_.create();
  EXPECT_FALSE(run_.find_state());
  run_.write_state({RunStatus::interrupted, 9, 4, 90, 40, 1, 75, "17.2", "stopped \"on\" request"});
  const RunState state = run_.read_state();
  EXPECT_EQ(state.status, RunStatus::interrupted);
  EXPECT_EQ(state.chunks_done, 4);
  EXPECT_EQ(state.exit_code, 75);
  EXPECT_EQ(state.attempt, "17.2");
  EXPECT_EQ(state.message, "stopped \"on\" request");
}

TEST_F(RunDirectoryTest, OnlyPublishedShardsArePresent) {
  run_.create();
  for (const char* name :
       {"chunk-000002.h5", "chunk-000000.h5", "chunk-000001.h5.tmp-00", "chunk-000003.h5.corrupt", "notes"})
    directory_.write(std::string("run/shards/") + name, "x");
  EXPECT_EQ(run_.shards_present(), (std::vector<int64_t>{0, 2}));
}

TEST_F(RunDirectoryTest, TheBytesOfShardsAreThoseOfPublishedOnes) {
  EXPECT_EQ(run_.shard_bytes(), 0u);
  run_.create();
  write_file_atomically(run_.shard_path(0), "12345");
  write_file_atomically(run_.shard_path(7), "123");
  write_file_atomically(temporary_path(run_.shard_path(8)), "1");
  EXPECT_EQ(run_.shard_bytes(), 8u);
}

TEST_F(RunDirectoryTest, AttemptsNeverShareAFolder) {
  run_.create();
  const Attempt first = begin_attempt(run_), second = begin_attempt(run_);
  EXPECT_NE(first.path, second.path);
  EXPECT_EQ(first.number, 1);
  EXPECT_EQ(second.number, 2);
}

TEST_F(RunDirectoryTest, AnAttemptIsNamedAfterItsSlurmJobWhoseLogsMayBeThere) {
  run_.create();
  ::setenv("SLURM_JOB_ID", "17", 1);
  ::setenv("SLURM_RESTART_COUNT", "2", 1);
  std::filesystem::create_directory(run_.attempts_path() / "17.2");
  const Attempt first = begin_attempt(run_), again = begin_attempt(run_);
  ::unsetenv("SLURM_JOB_ID");
  ::unsetenv("SLURM_RESTART_COUNT");
  EXPECT_EQ(first.name(), "17.2");
  EXPECT_EQ(again.name(), "17.2.1");
}

TEST_F(RunDirectoryTest, AttemptsThatCommitNothingAreCounted) {
  run_.create();
  const auto add_shard = [&](int chunk) { directory_.write(fmt::format("run/shards/chunk-{:06d}.h5", chunk), "x"); };
  EXPECT_EQ(fruitless_attempts(run_), 0);
  begin_attempt(run_);
  add_shard(0);
  EXPECT_EQ(fruitless_attempts(run_), 0);
  begin_attempt(run_);
  begin_attempt(run_);
  EXPECT_EQ(fruitless_attempts(run_), 2);
  add_shard(1);
  EXPECT_EQ(fruitless_attempts(run_), 0);
  for (int i = 0; i < 12; ++i) begin_attempt(run_);  // also in order beyond one digit
  EXPECT_EQ(fruitless_attempts(run_), 12);
}

TEST_F(RunDirectoryTest, AForeignDirectoryIsRefused) {
  std::filesystem::create_directory(directory_ / "run");
  directory_.write("run/thesis.tex", "precious");
  EXPECT_TRUE(fails(ExitCode::output, {"thesis.tex"}, [&] { run_.create(); }));
}

}  // namespace
}  // namespace switchyard
