#include "run/stop.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <ctime>
#include <string>

#include "io/temporary_file.h"
#include "tests/support/environment.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

/// The handlers of SignalWatch stay; a test program is to be stopped as any other.
class SignalWatchTest : public ::testing::Test {
 protected:
  void TearDown() override {
    for (const int signal : {SIGUSR1, SIGTERM, SIGINT}) ::signal(signal, SIG_DFL);
  }
};
using AgreeOnStopping = SignalWatchTest;

TEST(EndOnSignals, BeforeAnythingIsBegunEndsAtOnce) {
  for (const int signal : {SIGUSR1, SIGTERM, SIGINT})
    EXPECT_EXIT(
        {
          end_on_signals();
          ::raise(signal);
        },
        ::testing::ExitedWithCode(75), "stopped on request");
  EXPECT_EXIT(
      {
        end_on_signals();
        const SignalWatch watch(std::chrono::seconds(20), std::chrono::seconds(120));
        ::raise(SIGTERM);
        ::_exit(watch.request() == SignalWatch::terminate ? 1 : 2);
      },
      ::testing::ExitedWithCode(1), "");
}

TEST(EndOnSignals, WhatWasNotPublishedGoes) {
  const test::TemporaryDirectory directory;
  EXPECT_EXIT(
      {
        end_on_signals();
        const TemporaryFile file(directory / "file");
        const TemporaryFolder folder(directory / "folder");
        write_file_atomically(file.path(), "content");
        make_directories(folder.path() / "of");
        write_file_atomically(folder.path() / "of/files", "content");
        ::raise(SIGTERM);
      },
      ::testing::ExitedWithCode(75), "nothing was changed");
  EXPECT_EQ(list_directory(directory.path()).size(), 0u);
}

TEST_F(SignalWatchTest, TermGivesItsGraceOnce) {
  SignalWatch watch(std::chrono::seconds(20), std::chrono::seconds(120));
  EXPECT_EQ(watch.request(), SignalWatch::none);
  EXPECT_FALSE(watch.seconds_left().has_value());
  ::raise(SIGTERM);
  EXPECT_EQ(watch.request(), SignalWatch::terminate);
  EXPECT_NEAR(watch.seconds_left().value_or(0), 20, 1);
  ::raise(SIGTERM);  // within 5 s: the same request
  EXPECT_EQ(watch.request(), SignalWatch::terminate);
}

TEST_F(SignalWatchTest, TermAfterUsr1ShortensWhatIsLeft) {
  SignalWatch watch(std::chrono::seconds(20), std::chrono::seconds(120));
  ::raise(SIGUSR1);
  EXPECT_EQ(watch.request(), SignalWatch::limit_near);
  EXPECT_NEAR(watch.seconds_left().value_or(0), 120, 1);
  ::raise(SIGTERM);
  EXPECT_EQ(watch.request(), SignalWatch::terminate);
  EXPECT_NEAR(watch.seconds_left().value_or(0), 20, 1);
}

std::string seconds_from_now(int seconds) {
  return std::to_string(std::time(nullptr) + seconds);
}

TEST_F(SignalWatchTest, TheJobsEndLeavesTimeForItsScript) {
  const test::Variable end("SLURM_JOB_END_TIME", seconds_from_now(300));
  SignalWatch watch(std::chrono::seconds(20), std::chrono::seconds(120));
  EXPECT_FALSE(watch.seconds_left().has_value());
  ::raise(SIGUSR1);
  EXPECT_NEAR(watch.seconds_left().value_or(0), 290, 2);
  {
    const test::Variable over("SLURM_JOB_END_TIME", seconds_from_now(5));
    EXPECT_LT(watch.seconds_left().value_or(1), 0);
  }
  watch.accept(SignalWatch::terminate);
  EXPECT_NEAR(watch.seconds_left().value_or(0), 20, 1);
}

TEST_F(SignalWatchTest, WithoutAnEndThatCanBeTheLimitGraceCounts) {
  SignalWatch watch(std::chrono::seconds(20), std::chrono::seconds(120));
  ::raise(SIGUSR1);
  for (const std::string& end : {std::string("NONE"), std::string("0"), std::string(), seconds_from_now(-30)}) {
    const test::Variable variable("SLURM_JOB_END_TIME", end);
    EXPECT_NEAR(watch.seconds_left().value_or(0), 120, 1) << end;
  }
}

TEST_F(SignalWatchTest, ContIsIgnored) {
  SignalWatch watch(std::chrono::seconds(20), std::chrono::seconds(120));
  ::raise(SIGCONT);
  EXPECT_EQ(watch.request(), SignalWatch::none);
}

TEST_F(SignalWatchTest, ARequestFromAnotherRankCountsAsASignal) {
  SignalWatch watch(std::chrono::seconds(20), std::chrono::seconds(120));
  watch.accept(SignalWatch::limit_near);
  EXPECT_NEAR(watch.seconds_left().value_or(0), 120, 1);
  watch.accept(SignalWatch::terminate);
  EXPECT_NEAR(watch.seconds_left().value_or(0), 20, 1);
  watch.accept(SignalWatch::drop);
  EXPECT_EQ(watch.request(), SignalWatch::drop);
}

TEST_F(SignalWatchTest, TheThirdRequestEndsTheProcess) {
  EXPECT_EXIT(
      {
        SignalWatch watch(std::chrono::seconds(20), std::chrono::seconds(120));
        ::raise(SIGTERM);
        watch.accept(SignalWatch::drop);
        // A repeat counts again only after 5 s; the other kinds' first signals never escalate.
        ::raise(SIGUSR1);
        ::sleep(6);
        ::raise(SIGTERM);
      },
      ::testing::ExitedWithCode(75), "");
}

// mpirun sends SIGTERM to the ranks beside one that aborted: a rank on its way out must not die by it.
TEST_F(SignalWatchTest, UnwoundByAnErrorTheProcessEndsWithTheErrorsCode) {
  EXPECT_EXIT(
      {
        try {
          SignalWatch watch(std::chrono::seconds(20), std::chrono::seconds(120));
          throw 78;
        } catch (int exit_code) {
          ::raise(SIGTERM);
          ::_exit(exit_code);
        }
      },
      ::testing::ExitedWithCode(78), "");
}

TEST_F(SignalWatchTest, InTheLastMomentsTheProcessEndsWithItsOwnCode) {
  EXPECT_EXIT(
      {
        SignalWatch(std::chrono::seconds(20), std::chrono::seconds(120));
        for (const int signal : {SIGUSR1, SIGTERM, SIGINT}) ::raise(signal);
        ::_exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

// Signals reach the process, which the thread ranks share: all of them see the request, and agree.
TEST_F(AgreeOnStopping, AllRanksOfTheGroupDecideAlike) {
  SignalWatch watch(std::chrono::seconds(20), std::chrono::seconds(120));
  std::atomic<int> stopping{0};
  run_thread_ranks(3, [&](Communicator& world) {
    EXPECT_FALSE(agree_on_stopping(watch, world, world).stop);
    world.barrier();
    if (world.rank() == 1) ::raise(SIGTERM);
    world.barrier();
    const StopDecision decision = agree_on_stopping(watch, world, world);
    EXPECT_FALSE(decision.drop);
    EXPECT_NEAR(decision.seconds_left.value_or(0), 20, 1);
    stopping += decision.stop ? 1 : 0;
  });
  EXPECT_EQ(stopping, 3);
}

TEST_F(AgreeOnStopping, BeforeATimeLimitAllGoOnWithTheLeastTimeOfAnyRank) {
  const test::Variable end("SLURM_JOB_END_TIME", seconds_from_now(300));
  SignalWatch watch(std::chrono::seconds(20), std::chrono::seconds(120));
  run_thread_ranks(3, [&](Communicator& world) {
    EXPECT_FALSE(agree_on_stopping(watch, world, world).seconds_left.has_value());
    world.barrier();
    if (world.rank() == 1) ::raise(SIGUSR1);
    world.barrier();
    const StopDecision decision = agree_on_stopping(watch, world, world);
    EXPECT_FALSE(decision.stop);
    EXPECT_NEAR(decision.seconds_left.value_or(0), 290, 2);
  });
  ::raise(SIGTERM);
  const StopDecision decision = agree_on_stopping(watch, *make_self_communicator(), *make_self_communicator());
  EXPECT_TRUE(decision.stop);
  EXPECT_NEAR(decision.seconds_left.value_or(0), 20, 1);
}

}  // namespace
}  // namespace switchyard
