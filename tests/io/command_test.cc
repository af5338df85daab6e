#include "io/command.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/support/environment.h"

namespace switchyard {
namespace {

TEST(CommandTest, TellsOutputErrorsAndExitCode) {
  const auto result = run_command({"sh", "-c", "echo out; echo err >&2; exit 7"});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->out, "out\n");
  EXPECT_EQ(result->err, "err\n");
  EXPECT_EQ(result->exit_code, 7);
  EXPECT_EQ(run_command({"sh", "-c", "kill -9 $$"})->exit_code, 137);
}

TEST(CommandTest, TakesAnyAmountOfBoth) {
  const auto result = run_command({"sh", "-c", "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2"});
  EXPECT_EQ(result->out.size(), 300000u);
  EXPECT_EQ(result->err.size(), 300000u);
}

TEST(CommandTest, AMissingProgramIsNoError) {
  EXPECT_FALSE(run_command({"no-such-program-anywhere"}));
}

TEST(CommandTest, TheEnvironmentIsThisOneOrWhatIsGiven) {
  const test::Variable slurm("SLURM_JOB_ID", "17"), other("SLUG", "x");
  const auto script = [](auto... more) { return run_command({"sh", "-c", "echo $SLURM_JOB_ID-$SLUG"}, more...)->out; };
  EXPECT_EQ(script(), "17-x\n");
  EXPECT_EQ(script(environment_without({"SLURM_"})), "-x\n");
  EXPECT_EQ(script(std::map<std::string, std::string>{{"SLUG", "a b=c"}}), "-a b=c\n");
}

TEST(CommandTest, SignalsIgnoredHereAreNotIgnoredThere) {
  for (const int signal : {SIGPIPE, SIGXFSZ}) {
    const auto before = ::signal(signal, SIG_IGN);
    EXPECT_EQ(run_command({"sh", "-c", fmt::format("kill -{} $$", signal)})->exit_code, 128 + signal);
    ::signal(signal, before);
  }
}

}  // namespace
}  // namespace switchyard
