// `switchyard submit` as a user calls it, with an sbatch that records what it is given.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <regex>

#include "tests/support/process.h"
#include "tests/support/score_case.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

class SubmitTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(directory_ / "bin");
    std::filesystem::copy(SWITCHYARD_TEST_DATA "/models/mixtral-window", directory_ / "M");
    test::write_text_input(directory_ / "I.h5", 4, 20);
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
  test::ProcessResult submit(std::vector<std::string> args, std::map<std::string, std::string> variables = {}) {
    args.insert(args.begin(), {SWITCHYARD_PROGRAM, "submit"});
    variables.insert({{"PATH", (directory_ / "bin").native() + ":/usr/bin:/bin"},
                      {"SLURM_JOB_ID", "9"},
                      {"SBATCH_TIMELIMIT", "wrong"},
                      {"PMIX_SERVER_URI2", "x"},
                      {"HOME", directory_.path().native()}});
    return test::run(args, variables);
  }
  std::vector<std::string> score(const std::string& run, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"score", "--model", directory_ / "M", "--input", directory_ / "I.h5", "--run", run});
    return more;
  }
  /// The same without a model and an input; nothing is submitted.
  std::vector<std::string> with_files(const std::string& model, const std::string& input,
                                      const std::vector<std::string>& more = {}) const {
    std::vector<std::string> args = {"score",    "--model", model, "--input", input, "--run", directory_ / "run%a",
                                     "--dry-run"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
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
  for (const char* part : {"#SBATCH --nodes=2\n", "#SBATCH --exclusive\n", "#SBATCH -p long\n", "--per-token"})
    EXPECT_NE(script.find(part), std::string::npos) << part << script;
  EXPECT_NE(script.find("--model " + (directory_ / "M").native() + " "), std::string::npos) << script;
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
    directory_.write(
        std::string("run") + point + "/state.json",
        fmt::format(
            R"({{"status":"complete","units":"chunks","items":"records","chunks_total":1,"chunks_done":1,"records_total":1,)"
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
  for (const char* time : {"3", "3:00", "0:03:00", "0-0:3", "0-0:2:59", "soon", "1:2:3:4", "-5"})
    EXPECT_EQ(code(time), 64) << time;
  for (const char* time : {"4", "3:01", "01:00:00", "1-0", "0-1", "1-00:00:00", "UNLIMITED", "infinite", "0"})
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
  const auto odd = submit(score(directory_ / "100% odd/run %a", {"--array", "0-1", "--dry-run"}));
  EXPECT_NE(odd.out.find("/100%% odd/run %a/attempts/%A_%a.log'\n"), std::string::npos) << odd.out << odd.err;
  const auto queued = submit(score(directory_ / "odd run %a", {"--array", "0-1"}));
  EXPECT_NE(queued.err.find("odd run '*\n"), std::string::npos) << queued.err;
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

TEST_F(SubmitTest, ATimeLimitOfZeroIsNone) {
  for (const char* time : {"0", "0:00", "00:00:00", "0-0"})
    EXPECT_EQ(submit(score(directory_ / "run", {"--dry-run", "--time", time})).exit_code, 0) << time;
}

TEST_F(SubmitTest, AnArrayIsBoundedBySlurmsOwnLimit) {
  const auto code = [&](const std::string& array, const std::vector<std::string>& more = {}) {
    auto args = score(directory_ / "run%a", {"--dry-run", "--array", array});
    args.insert(args.end(), more.begin(), more.end());
    return submit(args).exit_code;
  };
  tool("scontrol", "[ \"$*\" = 'show config' ] && echo 'MaxArraySize            = 1001'");
  EXPECT_EQ(code("5-1"), 64);
  EXPECT_EQ(code("1000"), 0);
  EXPECT_EQ(code("1001"), 64);
  EXPECT_EQ(code("1001", {"--", "--clusters=big"}), 0);
  tool("scontrol", "exit 1");
  EXPECT_EQ(code("0-4000000"), 0);
  EXPECT_EQ(code("0-4000001"), 64);
  EXPECT_EQ(code("0-99999999999999999999"), 64);
}

TEST_F(SubmitTest, WhatNoLineOfTheScriptCanHoldIsRefused) {
  const auto expect_refused = [&](const std::string& option, const std::vector<std::string>& words) {
    auto args = score(directory_ / "run", {"--dry-run"});
    args.insert(args.end(), words.begin(), words.end());
    const auto result = submit(args);
    EXPECT_EQ(result.exit_code, 64) << option << result.out;
    EXPECT_NE(result.err.find(option), std::string::npos) << result.err;
  };
  for (const char* option : {"--name", "--partition", "--account", "--qos", "--memory", "--time", "--srun-flags"})
    expect_refused(option, {std::string(option) + "=a\n#SBATCH --uid=0"});
  expect_refused("--name", {"--name=a\tb"});
  expect_refused("--account", {"--account=" + std::string(1025, 'x')});
  expect_refused("--run", {"--run=" + (directory_ / "a\nb").native()});
  expect_refused("--run", {"--run=" + (directory_ / "a\\b").native()});
  expect_refused("after --", {"--", "--comment=a\nb"});
  expect_refused("after --", {"--", "exclusive"});
  for (const char* flags : {"--comment='a", "--x # y", "a; b", "a \\"})
    expect_refused("--srun-flags", {std::string("--srun-flags=") + flags});
}

TEST_F(SubmitTest, WordsArriveAtSbatchAsTheyWereGiven) {
  const std::string script =
      submit(score(directory_ / "run", {"--dry-run", "--name", "-it's #1\\%", "--mpi", "a b", "--srun-flags",
                                        "--comment='a b' --label", "--", "--comment", "a\\b"}))
          .out;
  for (const char* part : {"--job-name='-it'\\''s #1\\\\%'\n", "srun --mpi='a b' ", " --comment='a b' --label \\\n",
                           "#SBATCH --comment 'a\\\\b'\n"})
    EXPECT_NE(script.find(part), std::string::npos) << part << script;
}

TEST_F(SubmitTest, AModelOrInputThatIsNotThereIsFoundAtOnce) {
  const std::string model = directory_ / "M", input = directory_ / "I.h5";
  std::filesystem::create_directory(directory_ / "empty");
  std::filesystem::create_symlink("blobs/gone", directory_ / "dangling.h5");
  std::filesystem::create_symlink("loop.h5", directory_ / "loop.h5");
  std::filesystem::create_symlink("I.h5", directory_ / "link.h5");
  EXPECT_EQ(submit(with_files(model, directory_ / "link.h5")).exit_code, 0);
  for (const std::string missing : {directory_ / "gone.h5", directory_ / "dangling.h5", directory_ / "loop.h5",
                                    directory_ / std::string(300, 'x')}) {
    const auto result = submit(with_files(model, missing));
    EXPECT_EQ(result.exit_code, 66);
    EXPECT_NE(result.err.find(missing), std::string::npos) << result.err;
  }
  for (const char* no_model : {"gone", "empty", "I.h5"})
    EXPECT_EQ(submit(with_files(directory_ / no_model, input)).exit_code, 66) << no_model;
  // Relative paths begin where the job starts.
  for (const std::vector<std::string>& chdir : {std::vector<std::string>{"--chdir=" + directory_.path().native()},
                                                {"--chdir", directory_.path()},
                                                {"-D", directory_.path()}}) {
    std::vector<std::string> more = {"--"};
    more.insert(more.end(), chdir.begin(), chdir.end());
    EXPECT_EQ(submit(with_files("M", "I.h5", more)).exit_code, 0) << chdir.front();
  }
  EXPECT_EQ(submit(with_files("M", "I.h5")).exit_code, 66);
}

TEST_F(SubmitTest, WhatTheJobWouldRefuseAtOnceIsFoundAtOnce) {
  const auto refused = [&](const std::string& model, const std::string& input, int code, const std::string& named,
                           const std::vector<std::string>& more = {}) {
    const auto result = submit(with_files(model, input, more));
    EXPECT_EQ(result.exit_code, code) << named;
    EXPECT_NE(result.err.find(named), std::string::npos) << named << ": " << result.err;
  };
  const std::string model = directory_ / "M", input = directory_ / "I.h5";
  std::filesystem::copy(directory_ / "M", directory_ / "cut");
  std::filesystem::resize_file(directory_ / "cut/model.safetensors", 5000);
  refused(directory_ / "cut", input, 66, "cut/model.safetensors");
  refused(SWITCHYARD_TEST_DATA "/../CMakeLists.txt", input, 66, "CMakeLists.txt");
  refused(model, directory_.write("no.h5", "no HDF5"), 66, "no.h5");
  refused(model, input, 66, "no.h5", {"--delta", directory_ / "no.h5"});
  const std::string text = directory_.write("text.jsonl", "{\"text\": \"a\"}\n");
  refused(model, text, 64, "has no tokenizer.json");
  refused(model, text, 64, "there is no such file", {"--tokenizer", "gone"});
  std::filesystem::create_directory(directory_ / "bytes");  // which is none
  EXPECT_EQ(submit(with_files(model, text, {"--tokenizer", "bytes", "--", "-D", directory_.path()})).exit_code, 0);
}

TEST_F(SubmitTest, WhatIsToldItIsNoOptionOfTheJobIs) {
  const std::map<std::string, std::string> variables{{"SWITCHYARD_NODES", "1"}, {"SWITCHYARD_QOS", "high"}};
  const std::string config = directory_.write("all.cfg", "partition = long\n");
  auto more = variables;
  more["SWITCHYARD_CONFIG"] = config;
  for (const auto& environment : {variables, more}) {
    const auto result = submit(score(directory_ / "run", {"--dry-run"}), environment);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.out.find("#SBATCH --qos=high\n"), std::string::npos) << result.out;
  }
}

TEST_F(SubmitTest, NewWeightsOfAConfigurationHaveTheTokenizerBesideIt) {
  std::filesystem::copy_file(SWITCHYARD_TEST_DATA "/lm_eval/model/tokenizer.json", directory_ / "M/tokenizer.json");
  const std::string text = directory_.write("text.txt", "some text");
  const auto train = [&](const std::string& init) {
    return submit({"train", "--init", init, "--data", text, "--max-steps", "1", "--run", directory_ / "run",
                   "--allow-other-tokenizer", "--dry-run"});
  };
  for (const std::string init : {directory_ / "M", directory_ / "M/config.json"}) {
    const auto result = train(init);
    EXPECT_EQ(result.exit_code, 0) << result.err;
  }
  EXPECT_EQ(train(directory_ / "M/model.safetensors").exit_code, 66);
}

TEST_F(SubmitTest, WhatAnotherJobWillMakeNeedNotBeThere) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"--dependency=afterok:7"},
                                                {"--dependency", "afterok:7"},
                                                {"-d", "afterok:7"},
                                                {"-dafterok:7"},
                                                {"--exclusive", "--depend=singleton"},
                                                {"-Hd", "singleton"}}) {
    std::vector<std::string> more = {"--"};
    more.insert(more.end(), words.begin(), words.end());
    EXPECT_EQ(submit(with_files("gone", "gone.h5", more)).exit_code, 0) << words.front();
  }
  for (const char* other : {"--delay-boot=5", "--deadline=now", "-Hx", "--comment=--dependency=afterok:7"})
    EXPECT_EQ(submit(with_files("gone", "gone.h5", {"--", other})).exit_code, 66) << other;
}

TEST_F(SubmitTest, EveryPointOfAnArrayHasItsInput) {
  tool("scontrol", "exit 1");
  const auto code = [&](const std::string& array) {
    return submit(with_files(directory_ / "M", directory_ / "part-%a.h5", {"--array", array})).exit_code;
  };
  for (const char* point : {"0", "1", "3", "4000000"})
    std::filesystem::copy(directory_ / "I.h5", directory_ / (std::string("part-") + point + ".h5"));
  EXPECT_EQ(code("0,1,3"), 0);
  EXPECT_EQ(code("0-3"), 66);
  EXPECT_EQ(code("0-4000000"), 0);  // the first and the last
  EXPECT_EQ(code("0-3999999"), 66);
}

TEST_F(SubmitTest, WhatSbatchPrintsBeforeTheIdIsPassedOver) {
  tool("sbatch", "echo 'Welcome; project 7 has 100 hours left'; echo; echo '17;cluster'");
  EXPECT_EQ(submit(score(directory_ / "run")).out, "17\n");
  tool("sbatch", "echo Welcome");
  const auto result = submit(score(directory_ / "other"));
  EXPECT_EQ(result.exit_code, 69);
  EXPECT_NE(result.err.find("Welcome"), std::string::npos) << result.err;
  EXPECT_FALSE(std::filesystem::exists(directory_ / "other/jobs.jsonl"));
}

TEST_F(SubmitTest, VariablesThatChooseWherePassUnlessAnOptionDoes) {
  const std::map<std::string, std::string> variables = {
      {"SBATCH_ACCOUNT", "physics"}, {"SBATCH_PARTITION", "fast"},     {"SBATCH_QOS", "high"},
      {"SBATCH_CONSTRAINT", "x"},    {"SBATCH_RESERVATION", "monday"}, {"SBATCH_CLUSTERS", "big"},
      {"SLURM_CLUSTERS", "big"},     {"SLURM_CONF", "/etc/slurm.conf"}};
  auto args = score(directory_ / "run");
  ASSERT_EQ(submit(args, variables).exit_code, 0);
  std::string passed = bytes_of_file(directory_ / "leaked");
  for (const auto& [name, value] : variables) EXPECT_NE(passed.find(name + "=" + value + "\n"), passed.npos) << name;
  EXPECT_EQ(passed.find("TIMELIMIT"), passed.npos) << passed;

  std::filesystem::remove(directory_ / "leaked");
  directory_.write("site.cfg", "account = chemistry\n");
  args.insert(args.end(), {"--site", directory_ / "site.cfg", "--partition", "slow", "--", "-Mbig", "--qos=low", "-C",
                           "y", "--reservation", "sunday"});
  const auto result = submit(args, variables);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(bytes_of_file(directory_ / "leaked"), "SLURM_CONF=/etc/slurm.conf\n");
  for (const char* dropped :
       {"(--account is set): SBATCH_ACCOUNT=physics", "(--partition is set): SBATCH_PARTITION=fast",
        "SBATCH_TIMELIMIT=wrong", "SLURM_JOB_ID=9", "SLURM_CLUSTERS=big"})
    EXPECT_NE(result.err.find(dropped), std::string::npos) << dropped << result.err;
}

TEST_F(SubmitTest, OneBadRunAmongTenIsARowOfStatus) {
  std::vector<std::string> runs;
  for (int i = 0; i < 10; ++i) {
    const std::string name = "run" + std::to_string(i);
    runs.push_back(directory_ / name);
    std::filesystem::create_directory(runs.back());
    directory_.write(
        name + "/state.json",
        i == 4
            ? "{"
            : R"({"status":"complete","units":"chunks","items":"records","chunks_total":1,"chunks_done":1,"records_total":1,)"
              R"("records_done":1,"rejects":0,"exit_code":0,"attempt":"a","message":""})");
  }
  const auto status = [&](std::vector<std::string> args) {
    args.insert(args.begin(), {SWITCHYARD_PROGRAM, "status"});
    args.insert(args.end(), runs.begin(), runs.end());
    return test::run(args);
  };
  const auto table = status({});
  EXPECT_EQ(table.exit_code, 66);
  EXPECT_NE(table.err.find(runs[4]), std::string::npos) << table.err;
  for (const std::string& run : runs)
    EXPECT_NE(table.out.find(run + (run == runs[4] ? "  error " : "  complete ")), std::string::npos) << table.out;
  const auto json = status({"--json"});
  EXPECT_EQ(json.exit_code, 66);
  size_t complete = 0;
  for (size_t at = json.out.find("\"complete\""); at != json.out.npos; at = json.out.find("\"complete\"", at + 1))
    ++complete;
  EXPECT_EQ(complete, 9u);
  EXPECT_NE(json.out.find("\"exit_code\": 66"), std::string::npos) << json.out;
}

TEST_F(SubmitTest, DoctorReportsADirectoryThatItCannotReach) {
  std::filesystem::create_symlink("loop", directory_ / "loop");
  for (const std::string name : {"loop", "gone", "\xff"}) {
    const auto result = test::run({SWITCHYARD_PROGRAM, "doctor", "--run", directory_ / name});
    EXPECT_EQ(result.exit_code, 69) << result.err;
    EXPECT_NE(result.out.find("FAULT    run directory"), std::string::npos) << result.out << result.err;
  }
}

}  // namespace
}  // namespace switchyard
