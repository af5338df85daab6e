#include "jobs/slurm/batch_script.h"

#include <gtest/gtest.h>

#include "io/command.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

BatchScript example() {
  BatchScript s;
  s.program = "/opt/switchyard";
  s.job = "score";
  s.arguments = {"--model", "/models/a b", "--run", "/runs/it's"};
  s.run = "/runs/it's";
  s.log = "/runs/it's/attempts/%j.log";
  s.directory = "/home/u";
  s.name = "score-x";
  s.sbatch_options = {"--nodes=2", "-p batch"};
  return s;
}

/// Runs the script with srun, scontrol, squeue and the program replaced by ones that print what they are given.
class BatchScriptTest : public ::testing::Test {
 protected:
  void tool(const std::string& name, const std::string& body) {
    directory_.write("bin/" + name, "#!/bin/bash\n" + body + "\n");
    std::filesystem::permissions(directory_ / "bin" / name, std::filesystem::perms::owner_all);
  }
  void SetUp() override {
    std::filesystem::create_directory(directory_ / "bin");
    tool("srun", R"(printf 'srun'; for w in "$@"; do printf ' <%s>' "$w"; done; echo; exit "${SRUN_RC:-0}")");
    tool("scontrol", R"(echo "scontrol $*")");
    tool("squeue", "echo 2030-01-01T00:00:00");
    tool("sleep", "true");
    tool("switchyard", R"(echo "${DECISION:-stop}")");
  }
  CommandResult run(BatchScript s, std::map<std::string, std::string> variables = {},
                    const std::string& argument = "") {
    s.program = directory_ / "bin" / "switchyard";
    s.run = directory_ / run_;
    directory_.write("batch.sh", render(s));
    variables["PATH"] = (directory_ / "bin").native() + ":/usr/bin:/bin";
    variables["SLURM_JOB_ID"] = "17";
    std::vector<std::string> argv = {"bash", directory_ / "batch.sh"};
    if (!argument.empty()) argv.push_back(argument);
    return *run_command(argv, variables);
  }

  /// What a message to `status` is written to.
  std::string attempt_log() const { return test::bytes_of_file(directory_ / run_ / "attempts/17.0/stderr.log"); }

  test::TemporaryDirectory directory_;
  std::string run_ = "run's";
};

TEST_F(BatchScriptTest, SaysEverythingThatSlurmNeeds) {
  const std::string text = render(example());
  for (const char* line : {"#SBATCH --job-name=score-x\n", "#SBATCH --chdir=/home/u\n", "#SBATCH --requeue\n",
                           "#SBATCH --signal=USR1@180\n", "#SBATCH --nodes=2\n", "#SBATCH -p batch\n",
                           "#SBATCH --output='/runs/it'\\''s/attempts/%j.log'\n"})
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
}

TEST_F(BatchScriptTest, PassesArgumentsWithBlanksAndQuotes) {
  const CommandResult result = run(example());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("<--mpi=pmix> <--kill-on-bad-exit=1>"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("<score> <--model> </models/a b> <--run> </runs/it's>"), std::string::npos) << result.out;
  EXPECT_TRUE(std::filesystem::is_directory(directory_ / "run's" / "attempts" / "17.0"));
}

TEST_F(BatchScriptTest, RequeuesIfSettleSaysSoAndKeepsTheExitCode) {
  const CommandResult again = run(example(), {{"SRUN_RC", "75"}, {"DECISION", "requeue"}});
  EXPECT_EQ(again.exit_code, 75);
  EXPECT_NE(again.out.find("scontrol requeue incomplete 17"), std::string::npos);
  const CommandResult over = run(example(), {{"SRUN_RC", "66"}});
  EXPECT_EQ(over.exit_code, 66);
  EXPECT_EQ(over.out.find("scontrol"), std::string::npos);
}

TEST_F(BatchScriptTest, TellsTheRanksWhenTheJobEnds) {
  tool("srun", R"(echo "end $SLURM_JOB_END_TIME cpus $SRUN_CPUS_PER_TASK")");
  EXPECT_NE(run(example(), {{"SLURM_CPUS_PER_TASK", "3"}, {"TZ", "UTC"}}).out.find("end 1893456000 cpus 3"),
            std::string::npos);
}

TEST_F(BatchScriptTest, AnArrayTaskHasItsOwnPaths) {
  BatchScript s = example();
  s.array = "0-3";
  s.arguments = {"--input", "/in/part %a.h5", "--run", "/runs/%a"};
  EXPECT_NE(render(s).find("#SBATCH --array=0-3\n"), std::string::npos);
  EXPECT_NE(run(s, {{"SLURM_ARRAY_TASK_ID", "3"}}).out.find("<--input> </in/part 3.h5> <--run> </runs/3>"),
            std::string::npos);
}

TEST_F(BatchScriptTest, AnArrayTaskIsRequeuedAlone) {
  tool("squeue", R"(echo "squeue $*" >&2; echo NONE)");
  BatchScript s = example();
  s.array = "0-3";
  const CommandResult again =
      run(s, {{"SLURM_ARRAY_JOB_ID", "15"}, {"SLURM_ARRAY_TASK_ID", "3"}, {"SRUN_RC", "75"}, {"DECISION", "requeue"}});
  EXPECT_NE(again.out.find("scontrol requeue incomplete 15_3\n"), std::string::npos) << again.out;
  EXPECT_NE(again.err.find("squeue -h -j 15_3 "), std::string::npos) << again.err;
}

TEST_F(BatchScriptTest, OutsideAnArrayPercentAIsNothingSpecial) {
  BatchScript s = example();
  s.arguments = {"--input", "/in/100%a.h5", "--run", "/runs/%a"};
  EXPECT_NE(run(s).out.find("<--input> </in/100%a.h5> <--run> </runs/%a>"), std::string::npos);
}

TEST_F(BatchScriptTest, APercentSignInTheRunIsNoPatternOfSrun) {
  run_ = "50%j";
  const CommandResult result = run(example());
  const std::string attempt = (directory_ / "50%%j").native() + "/attempts/17.0/";
  EXPECT_NE(result.out.find("<--error=" + attempt + "stderr.log>"), std::string::npos) << result.out;
  EXPECT_TRUE(std::filesystem::is_directory(directory_ / "50%j" / "attempts" / "17.0"));
}

TEST_F(BatchScriptTest, SetupLinesMayUseVariablesThatAreNotSet) {
  BatchScript s = example();
  s.setup = {"export SEEN=\"[$NOT_SET_ANYWHERE]\""};
  tool("srun", "echo \"$SEEN\"");
  EXPECT_EQ(run(s).out, "[]\n");
}

TEST_F(BatchScriptTest, ASetupLineThatFailsEndsTheJobWithItsWords) {
  tool("switchyard", "echo \"$*\" >>" + (directory_ / "settled").native());
  directory_.write("broken.sh", "false\nno_such_program\n");
  for (const auto& [line, words] :
       {std::pair<std::string, std::string>("ls /gone", "exit code 2: ls /gone: "),
        {"no_such_program --now  # a comment", "exit code 127: no_such_program --now  # a comment: "},
        {"source /gone.sh", "exit code 1: source /gone.sh: "},
        {"source " + (directory_ / "broken.sh").native(), "exit code 127: source "},
        {"echo it is so >&2; exit 3", "exit code 3: echo it is so >&2; exit 3: it is so"},
        {"echo it is so >&2; exit 0", "exit code 0: echo it is so >&2; exit 0"},
        {"set -e; false", "exit code 1: set -e; false"},
        {"if true; then false; fi", "exit code 1: if true; then false; fi"}}) {
    BatchScript s = example();
    s.setup = {"export FINE=1", line, "echo too late"};
    std::filesystem::remove_all(directory_ / run_);
    const CommandResult result = run(s);
    EXPECT_EQ(result.exit_code, 69) << line << result.err;
    EXPECT_EQ(result.out, "") << line;
    EXPECT_NE(result.err.find("error: set-up failed with " + words), std::string::npos) << line << result.err;
    EXPECT_NE(attempt_log().find("] error: set-up failed with " + words), std::string::npos) << line << attempt_log();
    const bool speaks = line.starts_with("echo");
    EXPECT_EQ(attempt_log().find("it is so") != std::string::npos, speaks) << attempt_log();
  }
  EXPECT_NE(test::bytes_of_file(directory_ / "settled").find("settle " + (directory_ / run_).native() + " --rc 69\n"),
            std::string::npos);
}

TEST_F(BatchScriptTest, WhatIsNoFailureOfASetupLinePasses) {
  BatchScript s = example();
  directory_.write("careless.sh", "false\ntrue\n");
  s.setup = {"[ -e /gone ] && export GONE=1",
             "ls /gone || true",
             "if [ -e /gone ]; then",
             "  export GONE=2",
             "fi",
             "source " + (directory_ / "careless.sh").native(),
             "echo words >&2"};
  const CommandResult result = run(s);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("srun"), std::string::npos);
  EXPECT_NE(result.err.find("words"), std::string::npos) << "nobody sees what a line says";
}

TEST_F(BatchScriptTest, AModuleThatIsNotLoadedEndsTheJobWhateverModuleReturns) {
  const auto code_of = [&](const std::string& body) {
    BatchScript s = example();
    s.modules = {"openmpi/4", "hdf5"};
    s.program = directory_ / "bin" / "switchyard";
    s.run = directory_ / run_;
    directory_.write("batch.sh", "module() { " + body + "; }\n" + render(s));
    const std::string path = (directory_ / "bin").native() + ":/usr/bin:/bin";
    std::filesystem::remove_all(directory_ / run_);
    return run_command({"bash", directory_ / "batch.sh"},
                       std::map<std::string, std::string>{{"PATH", path}, {"SLURM_JOB_ID", "17"}})
        ->exit_code;
  };
  const std::string load = "export LOADEDMODULES=$LOADEDMODULES:$2";
  EXPECT_EQ(code_of(load), 0);
  EXPECT_EQ(code_of(load + "/1.14; echo 'a word of the site' >&2"), 0);
  EXPECT_EQ(code_of("export LOADEDMODULES=openmpi/4:hdf5/1.14; echo 'is loaded already' >&2"), 0);
  EXPECT_EQ(code_of("[ $2 = hdf5 ] && echo 'unknown module' >&2 && return 1; " + load), 69);
  EXPECT_NE(attempt_log().find("exit code 1: module load hdf5: unknown module"), std::string::npos) << attempt_log();
  EXPECT_EQ(code_of("echo 'ModuleCmd_Load.c(213):ERROR:105: Unable to locate a modulefile' >&2"), 69);
  EXPECT_NE(attempt_log().find("set-up failed with exit code 1: module load openmpi/4: ModuleCmd_Load.c"),
            std::string::npos)
      << attempt_log();
}

TEST_F(BatchScriptTest, ARunDirectoryThatTheBatchHostDoesNotSeeIsSaidWhereItCanBeRead) {
  BatchScript s = example();
  s.mark = "submitted-1";
  const CommandResult result = run(s, {{"SLURM_SUBMIT_DIR", directory_.path()}});
  EXPECT_EQ(result.exit_code, 69);
  EXPECT_FALSE(std::filesystem::exists(directory_ / run_)) << "another host's directory was made here";
  const std::string text = "does not see the run directory " + (directory_ / run_).native();
  for (const std::string& place :
       {result.err, result.out, test::bytes_of_file(directory_ / "slurm-17.out")})  // out: scontrol's words
    EXPECT_NE(place.find(text), std::string::npos) << place;
}

TEST_F(BatchScriptTest, NodesThatDoNotSeeTheRunDirectoryAreNamed) {
  BatchScript s = example();
  s.mark = "submitted-1";
  std::filesystem::create_directories(directory_ / run_ / "attempts");
  directory_.write(run_ + "/attempts/submitted-1", "");
  // Node n2 looks elsewhere.
  tool("srun", R"(case "$*" in *" look "*) ;; *) echo ranks; exit ;; esac
while [ "$1" != bash ]; do shift; done
HOSTNAME=n1 bash -c "${3/\$HOSTNAME/n1}" "$4" "$5"; bash -c "${3/\$HOSTNAME/n2}" "$4" "$5$BLIND"; exit "${LOOK_RC:-0}")");
  EXPECT_EQ(run(s, {{"SLURM_JOB_NUM_NODES", "2"}}).out, "ranks\n");
  EXPECT_EQ(run(s, {{"SLURM_JOB_NUM_NODES", "1"}, {"BLIND", "x"}}).out, "ranks\n");
  const CommandResult unknown = run(s, {{"SLURM_JOB_NUM_NODES", "2"}, {"LOOK_RC", "1"}});
  EXPECT_EQ(unknown.out, "ranks\n");
  EXPECT_NE(unknown.err.find("unknown"), std::string::npos) << unknown.err;
  const CommandResult blind = run(s, {{"SLURM_JOB_NUM_NODES", "2"}, {"BLIND", "x"}});
  EXPECT_EQ(blind.exit_code, 69);
  EXPECT_EQ(blind.out, "");
  EXPECT_NE(attempt_log().find("error: n2: expected to see the run directory"), std::string::npos) << attempt_log();
}

TEST_F(BatchScriptTest, WithoutAnAnswerOfSqueueTheRanksKnowNoEnd) {
  tool("srun", R"(echo "end ${SLURM_JOB_END_TIME:-unknown}")");
  for (const char* answer : {"echo NONE", "echo N/A", "exit 1"}) {
    tool("squeue", answer);
    EXPECT_EQ(run(example()).out, "end unknown\n") << answer;
  }
}

TEST_F(BatchScriptTest, TheFirstLinkOfAChainStartsWhateverTheRunLooksLike) {
  BatchScript s = example();
  s.chained = true;
  std::filesystem::create_directory(directory_ / run_);
  directory_.write("run's/state.json", "{}");
  EXPECT_NE(run(s, {{"DECISION", "stop"}}).out.find("srun"), std::string::npos);
}

TEST_F(BatchScriptTest, ASuccessorDoesNothingAfterACancelledOrFinishedOne) {
  BatchScript s = example();
  s.chained = true;
  EXPECT_NE(render(s).find("#SBATCH --no-requeue\n"), std::string::npos);
  tool("scontrol", "echo JobState=CANCELLED");
  EXPECT_EQ(run(s, {}, "16").out, "");
  tool("scontrol", "echo JobState=FAILED");
  EXPECT_NE(run(s, {}, "16").out.find("srun"), std::string::npos);  // nothing is known of the run yet
  std::filesystem::create_directory(directory_ / "run's");
  directory_.write("run's/state.json", "{}");
  EXPECT_EQ(run(s, {{"DECISION", "stop"}}, "16").out, "");
  EXPECT_NE(run(s, {{"DECISION", "requeue"}}, "16").out.find("srun"), std::string::npos);
}

TEST_F(BatchScriptTest, AnInterruptedLinkOfAChainEndsBadlySoThatTheNextOneStarts) {
  BatchScript s = example();
  s.chained = true;
  EXPECT_EQ(run(s, {{"SRUN_RC", "0"}, {"DECISION", "requeue"}}).exit_code, 75);
}

TEST_F(BatchScriptTest, TheUsersFormatsDoNotChangeWhatIsRead) {
  tool("squeue", R"([ "$SLURM_TIME_FORMAT" = standard ] && ! env | grep -qE '^(SQUEUE_|SLURM_CLUSTERS)' &&
    echo 2030-01-01T00:00:00 || echo "Tomorr 08:00")");
  tool("srun", R"(echo "end ${SLURM_JOB_END_TIME:-unknown}")");
  const CommandResult result = run(example(), {{"TZ", "UTC"},
                                               {"SLURM_TIME_FORMAT", "relative"},
                                               {"SQUEUE_FORMAT2", "jobid"},
                                               {"SQUEUE_STATES", "PD"},
                                               {"SLURM_CLUSTERS", "all"}});
  EXPECT_EQ(result.out, "end 1893456000\n") << result.err;
}

TEST_F(BatchScriptTest, WhereSbatchExportsNothingTheRanksGetWhatTheScriptHas) {
  BatchScript s = example();
  s.modules = {"mpi"};
  s.slurm_path = directory_ / "bin";
  s.setup = {"export MARK=1"};
  tool("srun", R"(echo "$SLURM_EXPORT_ENV $MARK ${HOME:-homeless}")");
  s.program = directory_ / "bin" / "switchyard";
  s.run = directory_ / "run";
  directory_.write("batch.sh", "module() { export MODULE=$2; }\n" + render(s));
  // No HOME, and a PATH without Slurm.
  std::filesystem::create_directory(directory_ / "bare");
  for (const char* tool : {"mkdir", "date"})
    std::filesystem::create_symlink(std::string("/bin/") + tool, directory_ / "bare" / tool);
  const CommandResult result =
      *run_command({"/bin/bash", directory_ / "batch.sh"},
                   std::map<std::string, std::string>{
                       {"SLURM_JOB_ID", "17"}, {"SLURM_EXPORT_ENV", "NONE"}, {"PATH", directory_ / "bare"}});
  EXPECT_EQ(result.out, "ALL 1 homeless\n") << result.err;
  EXPECT_EQ(result.exit_code, 0);
}

TEST_F(BatchScriptTest, WithoutAnMpiSrunTakesItsOwn) {
  BatchScript s = example();
  s.mpi.clear();
  EXPECT_EQ(render(s).find("--mpi"), std::string::npos);
}

TEST(ShellWordsTest, AreClosedQuotesAndNoOtherCommand) {
  for (const char* text : {"", "--a --b=c", "'a;b' \"c d\"", "--x=$SLURM_NTASKS", "a#b", "\\;"})
    EXPECT_TRUE(are_shell_words(text)) << text;
  for (const char* text :
       {"'a", "\"a", "\"a\\\"", "a\\", "a;b", "a & b", "a | b", "$(a)", "`a`", "# a", "b # a", "a\nb", "> a"})
    EXPECT_FALSE(are_shell_words(text)) << text;
}

}  // namespace
}  // namespace switchyard
