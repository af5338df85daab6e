// `switchyard submit` as a user calls it, with an sbatch that records what it is given.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <regex>

#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

class SubmitTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(directory_ / "bin");
    tool("sbatch", R"(echo "$*" >> )" + (directory_ / "calls").native() + R"(
env | grep -E '^(SLURM|SBATCH|PMIX)_' >> )" +
                       (directory_ / "leaked").native() + R"(
echo $((100 + $(wc -l < )" +
                       (directory_ / "calls").native() + "))) \n");
  }
  void tool(const std::string& name, const std::string& body) {
    directory_.write("bin/" + name, "#!/bin/bash\n" + body);
    std::filesystem::permissions(directory_ / "bin" / name, std::filesystem::perms::owner_all);
  }
  test::ProcessResult submit(std::vector<std::string> args) {
    args.insert(args.begin(), {SWITCHYARD_PROGRAM, "submit"});
    return test::run(args, {{"PATH", (directory_ / "bin").native() + ":/usr/bin:/bin"},
                            {"SLURM_JOB_ID", "9"},
                            {"SBATCH_PARTITION", "wrong"},
                            {"PMIX_SERVER_URI2", "x"},
                            {"HOME", directory_.path().native()}});
  }
  static std::vector<std::string> score(const std::string& run) {
    return {"score", "--model", "M", "--input", "I.h5", "--run", run};
  }

  test::TemporaryDirectory directory_;
};

using test::bytes_of_file;

TEST_F(SubmitTest, WritesTheScriptSubmitsItAndRecordsTheJob) {
  const std::string run = directory_ / "run";
  auto args = score(run);
  args.insert(args.end(), {"--per-token", "--nodes", "2", "--", "--exclusive", "-p", "long"});
  const auto result = submit(args);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "101\n");
  const std::string script = bytes_of_file(run + "/batch.sh");
  for (const char* part :
       {"#SBATCH --nodes=2\n", "#SBATCH --exclusive\n", "#SBATCH -p long\n", "--per-token", "--model M"})
    EXPECT_NE(script.find(part), std::string::npos) << part << script;
  EXPECT_NE(bytes_of_file(run + "/jobs.jsonl").find("\"101\""), std::string::npos);
  EXPECT_EQ(bytes_of_file(directory_ / "leaked"), "");
}

TEST_F(SubmitTest, DryRunPrintsTheScriptAndTouchesNothing) {
  const std::string run = directory_ / "run";
  auto args = score(run);
  args.push_back("--dry-run");
  const auto result = submit(args);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out.find("#!/bin/bash\n"), 0u);
  EXPECT_FALSE(std::filesystem::exists(run));
  EXPECT_FALSE(std::filesystem::exists(directory_ / "calls"));
}

TEST_F(SubmitTest, TheSiteFileGivesDefaultsThatTheCommandLineOverrides) {
  directory_.write("site.cfg", "partition = standard\naccount = physics\nmodule = openmpi/4\nmodule = hdf5\n");
  auto args = score(directory_ / "run");
  args.insert(args.end(), {"--dry-run", "--partition", "fast", "--site", directory_ / "site.cfg"});
  const std::string script = submit(args).out;
  for (const char* part :
       {"--partition=fast\n", "--account=physics\n", "module load openmpi/4\n", "module load hdf5\n"})
    EXPECT_NE(script.find(part), std::string::npos) << part << script;
}

TEST_F(SubmitTest, AChainIsQueuedBehindItself) {
  auto args = score(directory_ / "run");
  args.insert(args.end(), {"--chain", "2"});
  EXPECT_EQ(submit(args).out, "101\n102\n103\n");
  const std::string calls = bytes_of_file(directory_ / "calls");
  EXPECT_NE(calls.find("--dependency=afternotok:101 --kill-on-invalid-dep=yes"), std::string::npos) << calls;
  EXPECT_NE(calls.find("afternotok:102"), std::string::npos);
}

TEST_F(SubmitTest, OfAChainThatIsRefusedHalfwayTheFirstJobIsKnown) {
  const std::string calls = directory_ / "calls";
  tool("sbatch", "echo x >> " + calls + "\n[ $(wc -l < " + calls + ") -lt 2 ] && echo 101 || exit 1\n");
  auto args = score(directory_ / "run");
  args.insert(args.end(), {"--chain", "2"});
  EXPECT_EQ(submit(args).exit_code, 69);
  EXPECT_NE(bytes_of_file(directory_ / "run" / "jobs.jsonl").find("\"101\""), std::string::npos);
}

TEST_F(SubmitTest, PathsHoldWhereverTheJobStarts) {
  auto args = score("runs/50%/first/");  // relative, with Slurm's pattern sign, and a slash at its end
  args.push_back("--dry-run");
  const std::string script = submit(args).out;
  const std::string run = (std::filesystem::current_path() / "runs/50%/first").native();
  for (const std::string& part : {"\nrun=" + run + "\n", "--run " + run + ")", std::string("--job-name=score-first\n"),
                                  "--output=" + std::regex_replace(run, std::regex("%"), "%%") + "/attempts/%j.log\n"})
    EXPECT_NE(script.find(part), std::string::npos) << part << script;
}

TEST_F(SubmitTest, GpusAreAskedForByTheNode) {
  auto args = score(directory_ / "run");
  args.insert(args.end(), {"--gpus-per-node", "4", "--tasks-per-node", "4", "--cpus-per-task", "8", "--dry-run"});
  const std::string script = submit(args).out;
  for (const char* part :
       {"#SBATCH --gpus-per-node=4\n", "#SBATCH --ntasks-per-node=4\n", "#SBATCH --cpus-per-task=8\n"})
    EXPECT_NE(script.find(part), std::string::npos) << part << script;
}

TEST_F(SubmitTest, WaitReturnsTheRunsExitCode) {
  const std::string run = directory_ / "run";
  // The job ends at once: an array's second task with too many rejects.
  tool("scontrol", "exit 1\n");
  for (const auto& [point, code] : {std::pair("0", 0), std::pair("1", 65)}) {
    std::filesystem::create_directory(run + point);
    directory_.write(std::string("run") + point + "/state.json",
                     fmt::format(R"({{"status":"complete","chunks_total":1,"chunks_done":1,"records_total":1,)"
                                 R"("records_done":1,"rejects":1,"exit_code":{},"attempt":"a","message":""}})",
                                 code));
  }
  auto args = score(run + "%a");
  args.insert(args.end(), {"--array", "0-1", "--wait"});
  EXPECT_EQ(submit(args).exit_code, 65);
}

TEST_F(SubmitTest, ATimeLimitBelowTheWarningIsRefused) {
  const auto code = [&](const std::string& time) {
    auto args = score(directory_ / "run");
    args.insert(args.end(), {"--dry-run", "--signal-seconds", "180", "--time", time});
    return submit(args).exit_code;
  };
  for (const char* time : {"3", "3:00", "0:03:00", "0-0:3", "0-0:2:59"}) EXPECT_EQ(code(time), 64) << time;
  for (const char* time : {"4", "3:01", "01:00:00", "1-0", "0-1", "1-00:00:00", "UNLIMITED"})
    EXPECT_EQ(code(time), 0) << time;
}

TEST_F(SubmitTest, AnArrayHasARunPerPoint) {
  auto args = score(directory_ / "run-%a");
  args.insert(args.end(), {"--array", "1,4-8:2%2"});
  const auto result = submit(args);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* point : {"1", "4", "6", "8"})
    EXPECT_NE(
        bytes_of_file(directory_ / (std::string("run-") + point + "/jobs.jsonl")).find(std::string("101_") + point),
        std::string::npos);
}

TEST_F(SubmitTest, MistakesAreFoundBeforeAnythingIsQueued) {
  const auto refused = [&](std::vector<std::string> args, int code, const std::string& named) {
    const auto result = submit(std::move(args));
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_NE(result.err.find(named), std::string::npos) << result.err;
  };
  auto misspelt = score(directory_ / "run");
  misspelt.insert(misspelt.end(), {"--per-tokn"});
  refused(misspelt, 64, "per-tokn");
  refused({"score", "--model", "M"}, 64, "input");
  refused({"import"}, 64, "import");
  refused({"bake"}, 64, "bake");
  auto shared = score(directory_ / "run");
  shared.insert(shared.end(), {"--array", "0-3"});
  refused(shared, 64, "%a");
  tool("sbatch", "echo 'sbatch: error: invalid partition' >&2; exit 1");
  refused(score(directory_ / "run"), 69, "invalid partition");
  EXPECT_FALSE(std::filesystem::exists(directory_ / "calls"));
}

}  // namespace
}  // namespace switchyard
