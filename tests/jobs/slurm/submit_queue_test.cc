// What `switchyard submit` finds out before it queues a job, and what it leaves behind.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "run/lease.h"
#include "tests/support/process.h"
#include "tests/support/score_case.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::bytes_of_file;
using Words = std::vector<std::string>;

/// With a Slurm of scripts: sbatch writes down what it is given, scontrol and sinfo answer what a test says.
class SubmitQueueTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(directory_ / "bin");
    tool("sbatch", "echo \"$*\" >> " + calls_ + "; echo 101");
    tool("scontrol", "exit 1");
    tool("sinfo", "exit 1");
    test::write_text_input(directory_ / "input.h5", 4, 20);
  }
  void tool(const std::string& name, const std::string& body) {
    directory_.write("bin/" + name, "#!/bin/bash\n" + body + "\n");
    std::filesystem::permissions(directory_ / "bin" / name, std::filesystem::perms::owner_all);
  }
  Words score(const Words& more) const {
    Words args = {"score", "--model", SWITCHYARD_DEMO_MODEL, "--input", directory_ / "input.h5", "--run", run_};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  test::ProcessResult submit(const Words& more = {}) const {
    Words args = score(more);
    args.insert(args.begin(), {SWITCHYARD_PROGRAM, "submit"});
    return test::run(args, {{"PATH", (directory_ / "bin").native() + ":/usr/bin:/bin"}, {"HOME", directory_.path()}});
  }
  void expect_refused(int code, const std::string& words, const Words& more) const {
    const auto result = submit(more);
    EXPECT_EQ(result.exit_code, code) << words << result.err;
    EXPECT_NE(result.err.find(words), std::string::npos) << words << ":\n" << result.err;
    EXPECT_FALSE(std::filesystem::exists(calls_)) << words;
  }
  /// A run that an earlier job completed.
  void complete_a_run() {
    Words args = score({"--dtype", "f32", "--device", "cpu"});
    args.insert(args.begin(), SWITCHYARD_PROGRAM);
    ASSERT_EQ(test::run(args).exit_code, 0);
  }
  /// What is in the directory of this test, without what the tests make.
  std::set<std::string> names() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path()))
      names.insert(entry.path());
    return names;
  }
  void write_state(const std::string& attempt, const std::string& status, int code) {
    directory_.write(
        "run/state.json",
        fmt::format(
            R"({{"status":"{}","units":"chunks","items":"records","chunks_total":1,"chunks_done":1,"records_total":4,)"
            R"("records_done":4,"rejects":0,"exit_code":{},"attempt":"{}","message":""}})",
            status, code, attempt));
  }

  test::TemporaryDirectory directory_;
  const std::string run_ = directory_ / "run", calls_ = directory_ / "calls";
};

TEST_F(SubmitQueueTest, ARunOfOtherWorkIsRefusedBeforeAnythingIsQueued) {
  complete_a_run();
  const auto before = names();
  test::write_text_input(directory_ / "more.h5", 5, 20);
  test::write_text_input(directory_ / "other.h5", 4, 21);
  for (const auto& [words, more] : {std::pair<std::string, Words>("per_token", {"--per-token"}),
                                    {"with_text", {"--with-text"}},
                                    {"embed", {"--embed", "mean"}},
                                    {"chunk_records", {"--chunk-records", "2"}},
                                    {"--dtype", {"--dtype", "bf16"}},
                                    {"--device", {"--device", "cuda"}}})
    expect_refused(78, words, more);
  std::filesystem::rename(directory_ / "input.h5", directory_ / "kept.h5");
  for (const char* other : {"more.h5", "other.h5"}) {
    std::filesystem::copy_file(directory_ / other, directory_ / "input.h5",
                               std::filesystem::copy_options::overwrite_existing);
    expect_refused(78, "input", {});
  }
  std::filesystem::rename(directory_ / "kept.h5", directory_ / "input.h5");
  std::filesystem::remove(directory_ / "more.h5");
  std::filesystem::remove(directory_ / "other.h5");
  EXPECT_EQ(names(), before);
  const auto again = submit();
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_NE(again.err.find("complete already"), std::string::npos) << again.err;
}

TEST_F(SubmitQueueTest, ASecondJobForARunIsQueuedBehindTheFirst) {
  ASSERT_EQ(submit().exit_code, 0);
  tool("scontrol", "[ \"$3\" = 101 ] && echo 'JobId=101 JobState=RUNNING Restarts=0'");
  const auto second = submit();
  EXPECT_EQ(second.exit_code, 0) << second.err;
  EXPECT_NE(second.err.find("in the hands of job 101"), std::string::npos) << second.err;
  const auto last_call = [&] {
    const std::string calls = bytes_of_file(calls_);
    return calls.substr(calls.rfind("--parsable"));
  };
  EXPECT_NE(last_call().find("--dependency=afterany:101 "), std::string::npos) << last_call();
  submit({"--", "--dependency=singleton"});
  EXPECT_NE(last_call().find("--dependency=afterany:101,singleton "), std::string::npos) << last_call();
  submit({"--no-dependency"});
  EXPECT_EQ(last_call().find("afterany"), std::string::npos) << last_call();
  tool("scontrol", "echo 'JobId=101 JobState=FAILED Restarts=0'");
  submit();
  EXPECT_EQ(last_call().find("afterany"), std::string::npos) << last_call();
}

TEST_F(SubmitQueueTest, ARunThatAProcessOfThisHostHasIsRefused) {
  std::filesystem::create_directory(run_);
  const auto lease = Lease::acquire(directory_ / "run/lease.json", std::chrono::seconds(1));
  expect_refused(78, "is in use by host", {});
  EXPECT_EQ(submit({"--no-dependency"}).exit_code, 0);
}

TEST_F(SubmitQueueTest, WaitReturnsTheEndOfItsOwnJob) {
  std::filesystem::create_directory(run_);
  std::filesystem::create_directories(directory_ / "run/attempts/101.0");
  write_state("90.0", "interrupted", 75);
  directory_.write("run/attempts/101.0/stderr.log", "12:00:01 [0/1 n1] error: it is another input\n");
  tool("scontrol", "echo 'JobId=101 JobState=FAILED Restarts=0 ExitCode=78:0'");
  const auto result = submit({"--wait"});
  EXPECT_EQ(result.exit_code, 78) << result.err;
  EXPECT_NE(result.err.find("it is another input"), std::string::npos) << result.err;
}

TEST_F(SubmitQueueTest, WhatSbatchRefusesLeavesNothing) {
  const auto before = names();
  for (const char* refusal : {"echo 'sbatch: error: invalid partition' >&2; exit 1", "exit 1", "exit 255"}) {
    tool("sbatch", refusal);
    for (const Words& more : {Words{}, {"--chain", "2"}}) EXPECT_EQ(submit(more).exit_code, 69) << refusal;
  }
  std::filesystem::remove(directory_ / "bin/sbatch");
  Words array = {SWITCHYARD_PROGRAM,
                 "submit",
                 "score",
                 "--model",
                 SWITCHYARD_DEMO_MODEL,
                 "--input",
                 directory_ / "input.h5",
                 "--run",
                 directory_ / "a/b/c-%a",
                 "--array",
                 "0-3"};
  EXPECT_EQ(test::run(array, {{"PATH", directory_ / "bin"}}).exit_code, 69);
  tool("sbatch", "exit 1");
  EXPECT_EQ(names(), before);
}

TEST_F(SubmitQueueTest, WhatWasThereBeforeARefusalStays) {
  ASSERT_EQ(submit().exit_code, 0);
  const auto before = names();
  const std::string script = bytes_of_file(run_ + "/batch.sh");
  tool("sbatch", "exit 1");
  EXPECT_EQ(submit({"--per-token"}).exit_code, 69);
  EXPECT_EQ(names(), before);
  EXPECT_EQ(bytes_of_file(run_ + "/batch.sh"), script);
}

TEST_F(SubmitQueueTest, WhereAJobMayBeQueuedAllTheSameItsRunDirectoryStays) {
  tool("sbatch", "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv' >&2; exit 1");
  const auto result = submit();
  EXPECT_EQ(result.exit_code, 69);
  EXPECT_NE(result.err.find("squeue tells"), std::string::npos) << result.err;
  EXPECT_TRUE(std::filesystem::exists(run_ + "/batch.sh"));
}

TEST_F(SubmitQueueTest, WhatWouldWaitForEverIsRefused) {
  tool("sinfo",
       R"(printf 'batch*|4|gpu:4|1:00:00|idle\nbatch*|4|(null)|1:00:00|down*\nbig|64|(null)|infinite|idle\n')");
  expect_refused(64, "partition big has 1 nodes of up to 64 cores", {"--nodes", "2", "--partition", "big"});
  expect_refused(64,
                 "partition batch has 2 nodes of up to 4 cores and 4 GPUs; asked for: 3 nodes of 1 cores and 0 GPUs, 3 "
                 "cores in all; partition big",
                 {"--nodes", "3", "--", "-p", "big,batch"});
  expect_refused(64, "--ep 3 does not divide the 2 ranks", {"--ep", "3", "--nodes", "2"});
  expect_refused(64, "--ep 3 does not divide the 4 ranks", {"--ep", "3", "--", "-n", "4"});
  expect_refused(64, "partition batch has 2 nodes of up to 4 cores and 4 GPUs", {"--nodes", "3"});
  expect_refused(64, "1 nodes of 8 cores", {"--tasks-per-node", "2", "--cpus-per-task", "4"});
  expect_refused(64, "1 nodes of 5 cores", {"--", "-c5"});
  expect_refused(64, "40 cores in all", {"--", "--ntasks=40"});
  expect_refused(64, "9 cores in all", {"--nodes", "2", "--", "-n", "9"});
  expect_refused(64, "--ep 3 does not divide the 2 ranks",
                 {"--ep", "3", "--nodes", "2", "--srun-flags=--cpu-bind=none"});
  expect_refused(64, "2 nodes of 1 cores and 1 GPUs", {"--nodes", "2", "--gpus-per-node", "1"});
  expect_refused(64, "no longer than --signal-seconds 180", {"--", "--time", "1:00"});
  expect_refused(64, "no longer than --signal-seconds 60", {"--", "-t1:00", "--signal=B:USR1@60"});
  expect_refused(64, "before \"--\"", {"--", "--array=0-3"});
  expect_refused(64, "before \"--\"", {"--array", "0", "--", "-a0-3"});
  expect_refused(64, "--setup: expected lines of a shell", {"--setup", "export A='b"});
  // What may do gets a line.
  for (const auto& [words, more] :
       {std::pair<std::string, Words>("1 are up now", {"--nodes", "2", "--dry-run"}),
        {"longer than the 1:00:00 that partition batch allows", {"--time", "2:00:00", "--dry-run"}},
        {"stands for itself", {"--allow-config-field", "%a", "--dry-run"}}}) {
    const auto result = submit(more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.err.find(words), std::string::npos) << words << result.err;
  }
  for (const Words& fine : {Words{"--ep", "2", "--nodes", "2"}, {"--ep", "3", "--", "-n", "6"}})
    EXPECT_EQ(submit(fine).exit_code, 0) << fine.back();
}

TEST_F(SubmitQueueTest, APersonIsToldWhatIsAskedForWhereLogsGoAndHowToCancel) {
  tool("scontrol", "echo 'JobId=101 JobState=PENDING Restarts=0 StartTime=2030-01-01T08:00:00'");
  const auto result = submit({"--nodes", "2", "--tasks-per-node", "3", "--time", "2:00:00"});
  EXPECT_EQ(result.out, "101\n");
  for (const std::string& part :
       std::vector<std::string>{std::string("nodes 2, ranks 6, "), std::string("time 2:00:00"),
                                run_ + "/attempts/101.log", "switchyard status " + run_, std::string("scancel 101"),
                                std::string("expects job 101 to start at 2030-01-01T08:00:00")})
    EXPECT_NE(result.err.find(part), std::string::npos) << part << result.err;
}

TEST_F(SubmitQueueTest, TheExampleOfASiteFileAsksForNothingThatMayNotBeThere) {
  tool("sinfo", "echo 'only*|2|(null)|infinite|idle'");
  const auto result = submit({"--dry-run", "--site", SWITCHYARD_DEMO_MODEL "/../../slurm/site.example.cfg"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* asked : {"#SBATCH --nodes", "#SBATCH --cpus-per-task", "#SBATCH --partition", "#SBATCH --ntasks"})
    EXPECT_EQ(result.out.find(asked), std::string::npos) << asked << result.out;
  directory_.write("site.cfg", "mpi = pmix\n\npartitoin = fast\n");
  expect_refused(64, "site.cfg, line 3: partitoin", {"--site", directory_ / "site.cfg"});
}

TEST_F(SubmitQueueTest, TheScriptToStartFromSaysWhatIsNotFilledIn) {
  const std::string text = bytes_of_file(SWITCHYARD_DEMO_MODEL "/../../slurm/score.sbatch");
  const auto run_script = [&](std::map<std::string, std::string> values) {
    std::string script = text;
    for (const auto& [name, value] : values) {
      const size_t at = script.find("\n" + name + "=") + 1;
      script.replace(at, script.find('\n', at) - at, fmt::format("{}={}", name, value));
    }
    directory_.write("score.sbatch", script);
    return test::run({"bash", directory_ / "score.sbatch"},
                     {{"PATH", (directory_ / "bin").native() + ":/usr/bin:/bin"}, {"SLURM_JOB_ID", "17"}});
  };
  tool("srun", "echo \"$*\"");
  tool("squeue", "exit 1");
  tool("switchyard", "echo stop");
  std::map<std::string, std::string> values;
  for (const char* name : {"model", "input", "run"}) {
    const auto result = run_script(values);
    EXPECT_EQ(result.exit_code, 64) << name;
    EXPECT_NE(result.err.find(std::string("fill in ") + name + "="), std::string::npos) << result.err;
    values[name] = directory_ / name;
  }
  const auto result = run_script(values);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("switchyard score --model " + (directory_ / "model").native()), std::string::npos)
      << result.out;
  values["switchyard"] = "/gone";
  EXPECT_EQ(run_script(values).exit_code, 69);
}

TEST_F(SubmitQueueTest, NobodyWaitsForAnotherClustersJob) {
  expect_refused(64, "--wait: the job goes to another cluster", {"--wait", "--", "--clusters=c2"});
}

TEST_F(SubmitQueueTest, AnMpiTypeThatSrunDoesNotOfferIsRefused) {
  tool("srun",
       R"(printf 'MPI plugin types are...\n\tnone\n\tpmix\nspecific pmix plugin versions available: pmix_v4\n')");
  expect_refused(64, "--mpi foo: srun offers none, pmix", {"--mpi", "foo"});
  EXPECT_EQ(submit({"--mpi", "pmix_v4"}).exit_code, 0);
}

TEST_F(SubmitQueueTest, TheLogIsWhereItIsAskedFor) {
  const auto result = submit({"--", "--output", "/logs/%j.log"});
  EXPECT_NE(result.err.find("logs of job 101: /logs/101.log"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("--output: there is no folder /logs here"), std::string::npos) << result.err;
  EXPECT_EQ(bytes_of_file(run_ + "/batch.sh").find("--output=/dev/null"), std::string::npos);
  EXPECT_EQ(bytes_of_file(run_ + "/batch.sh").find("exec >>"), std::string::npos);
}

TEST_F(SubmitQueueTest, TheRateOfARunSuggestsATimeLimit) {
  std::filesystem::create_directory(run_);
  directory_.write(
      "run/state.json",
      R"({"status":"interrupted","units":"chunks","items":"records","chunks_total":9,"chunks_done":1,"records_total":7300,)"
      R"("records_done":100,"rejects":0,"exit_code":75,"attempt":"90.0","message":""})");
  directory_.write("run/metrics.jsonl",
                   "{\"group\":0,\"items\":50,\"seconds\":100}\n"
                   "{\"group\":1,\"items\":50,\"seconds\":100}\n{\"gro");
  const auto result = submit();  // 7,200 records at 1/s: two hours
  EXPECT_NE(result.err.find("--time 03:00:00"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace switchyard
