#include "jobs/score/stop.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>

namespace switchyard {
namespace {

TEST(SignalWatch, TermGivesItsGraceOnce) {
  SignalWatch watch(std::chrono::seconds(20), std::chrono::seconds(120));
  EXPECT_EQ(watch.request(), SignalWatch::none);
  EXPECT_FALSE(watch.seconds_left().has_value());
  ::raise(SIGTERM);
  EXPECT_EQ(watch.request(), SignalWatch::terminate);
  EXPECT_NEAR(watch.seconds_left().value_or(0), 20, 1);
  ::raise(SIGTERM);  // within 5 s: the same request
  EXPECT_EQ(watch.request(), SignalWatch::terminate);
}

TEST(SignalWatch, TermAfterUsr1ShortensWhatIsLeft) {
  SignalWatch watch(std::chrono::seconds(20), std::chrono::seconds(120));
  ::raise(SIGUSR1);
  EXPECT_EQ(watch.request(), SignalWatch::limit_near);
  EXPECT_NEAR(watch.seconds_left().value_or(0), 120, 1);
  ::raise(SIGTERM);
  EXPECT_EQ(watch.request(), SignalWatch::terminate);
  EXPECT_NEAR(watch.seconds_left().value_or(0), 20, 1);
}

TEST(SignalWatch, ContIsIgnored) {
  SignalWatch watch(std::chrono::seconds(20), std::chrono::seconds(120));
  ::raise(SIGCONT);
  EXPECT_EQ(watch.request(), SignalWatch::none);
}

TEST(SignalWatch, ARequestFromAnotherRankCountsAsASignal) {
  SignalWatch watch(std::chrono::seconds(20), std::chrono::seconds(120));
  watch.accept(SignalWatch::limit_near);
  EXPECT_NEAR(watch.seconds_left().value_or(0), 120, 1);
  watch.accept(SignalWatch::terminate);
  EXPECT_NEAR(watch.seconds_left().value_or(0), 20, 1);
  watch.accept(SignalWatch::drop);
  EXPECT_EQ(watch.request(), SignalWatch::drop);
}

TEST(SignalWatch, TheThirdRequestEndsTheProcess) {
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
TEST(SignalWatch, UnwoundByAnErrorTheProcessEndsWithTheErrorsCode) {
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
  SignalWatch(std::chrono::seconds(20), std::chrono::seconds(120));
  EXPECT_EXIT(::raise(SIGTERM), ::testing::KilledBySignal(SIGTERM), "");
}

// Signals reach the process, which the thread ranks share: all of them see the request, and agree.
TEST(AgreeOnStopping, AllRanksOfTheGroupDecideAlike) {
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

}  // namespace
}  // namespace switchyard
