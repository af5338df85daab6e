#include "run/watchdog.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "comm/watched_communicator.h"
#include "tests/run/watched_ranks.h"

namespace switchyard {
namespace {

using std::chrono::milliseconds;

TEST(BlameTest, TheSilentThenThoseWhoHaveComeLeastFar) {
  using enum RankSign::Kind;
  EXPECT_EQ(blame({{0, stalled, 9}, {1, silent, 0}, {2, stalled, 8}}), (std::vector<int>{1}));
  EXPECT_EQ(blame({{0, stalled, 9}, {1, stalled, 8}, {2, stalled, 9}}), (std::vector<int>{1}));
  EXPECT_EQ(blame({{0, stalled, 9}, {1, stalled, 9}}), (std::vector<int>{0, 1}));
  EXPECT_TRUE(blame({{0, stalled, 9}, {1, alive, 0}, {2, silent, 0}}).empty());
  EXPECT_TRUE(blame({}).empty());
}

class WatchdogTest : public ::testing::Test, protected test::WatchedRanks {};

TEST_F(WatchdogTest, NamesTheRankThatGivesNoSignOfLife) {
  auto ranks = start(4, milliseconds(800));
  ranks[2]->watchdog.reset();  // as if stopped
  ranks[3]->pulse.layer(5);
  for (const int r : {0, 1, 3}) wait_in_world(*ranks[static_cast<size_t>(r)]);
  int reporters = 0;
  for (const int r : {0, 1, 3}) {
    auto verdict = ranks[static_cast<size_t>(r)]->verdict.get_future();
    ASSERT_EQ(verdict.wait_for(std::chrono::seconds(5)), std::future_status::ready) << r;
    EXPECT_NE(verdict.get().find("rank 2 on n1 gives no sign of life"), std::string::npos);
    reporters += ranks[static_cast<size_t>(r)]->reported ? 1 : 0;
  }
  EXPECT_EQ(reporters, 1);
  EXPECT_NE(read_verdict(hang_directory()).find("rank 2"), std::string::npos);
}

TEST_F(WatchdogTest, NamesTheRankThatHasComeLeastFar) {
  auto ranks = start(3, milliseconds(800));
  for (auto& rank : ranks) wait_in_world(*rank);
  for (const int r : {0, 2}) wait_in_world(*ranks[static_cast<size_t>(r)]);  // 1 hangs in the operation before
  ranks[1]->pulse.layer(7);
  auto verdict = ranks[0]->verdict.get_future();
  ASSERT_EQ(verdict.wait_for(std::chrono::seconds(5)), std::future_status::ready);
  const std::string text = verdict.get();
  EXPECT_NE(text.find("rank 1 on n1 is in scoring, layer 7"), std::string::npos) << text;
  EXPECT_NE(text.find("waiting for it: rank 0, 2"), std::string::npos) << text;
}

TEST_F(WatchdogTest, ARankThatGetsOnIsWaitedFor) {
  auto ranks = start(3, milliseconds(1200));  // of which a quarter has to do for a sign of life, on a busy machine too
  for (const int r : {1, 2}) wait_in_world(*ranks[static_cast<size_t>(r)]);
  ranks[0]->pulse.phase("merging");
  for (int i = 0; i < 30; ++i) {  // two and a half timeouts long
    std::this_thread::sleep_for(milliseconds(100));
    ranks[0]->pulse.beat();
  }
  wait_in_world(*ranks[0]);
  for (auto& rank : ranks) {
    rank->pulse.leave(kWorld);
    rank->watchdog.reset();
  }
  EXPECT_EQ(read_verdict(hang_directory()), "");
  EXPECT_TRUE(std::filesystem::is_empty(hang_directory()));  // nobody leaves files behind
}

TEST_F(WatchdogTest, WhoWasStoppedItselfStartsAnew) {
  const pid_t child = ::fork();
  if (child == 0) {  // two ranks on the way through a long operation, suspended with their job
    auto ranks = start(2, milliseconds(1000));
    for (auto& rank : ranks) wait_in_world(*rank);
    for (int i = 0; i < 60; ++i) std::this_thread::sleep_for(milliseconds(10));  // not counting the suspension
    for (auto& rank : ranks) rank->pulse.leave(kWorld);
    for (auto& rank : ranks) rank->watchdog.reset();
    ::_exit(read_verdict(hang_directory()).empty() ? 0 : 1);
  }
  std::this_thread::sleep_for(milliseconds(100));
  ::kill(child, SIGSTOP);
  std::this_thread::sleep_for(milliseconds(3000));
  ::kill(child, SIGCONT);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(WatchdogTest, RanksThatGetOnLeaveNoTrace) {
  auto ranks = start(2, milliseconds(800));
  for (int i = 0; i < 12; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    for (auto& rank : ranks) wait_in_world(*rank);
  }
  EXPECT_FALSE(std::filesystem::exists(hang_directory()));
}

/// Ranks that are threads, in groups {0, 2} and {1, 3}: rank 3 does not come to its group's operation.
TEST_F(WatchdogTest, BlamesWithinAGroupOfAnyRanks) {
  constexpr int kHanging = 3;
  auto ranks = start(4, milliseconds(800), 10, false);
  std::promise<void> over;
  const std::shared_future<void> is_over = over.get_future().share();
  run_thread_ranks(4, [&](Communicator& threads) {
    Rank& mine = *ranks[static_cast<size_t>(threads.rank())];
    const auto world = watch_communicator(threads.split(0, threads.rank()), mine.pulse);
    const auto group = world->split(world->rank() % 2, world->rank());
    group->barrier();
    if (world->rank() == kHanging) {
      mine.pulse.phase("hanging");
      is_over.wait();
    }
    if (world->rank() == 1) {
      std::thread judge([&] {
        const auto verdict = verdict_of(mine, std::chrono::seconds(10));
        EXPECT_TRUE(verdict.has_value());
        if (verdict) {
          EXPECT_NE(verdict->find("rank 3 on n1 is in hanging, operation 1; waiting for it: rank 1 (rank 1: scoring, "
                                  "operation 2 of world/1)"),
                    std::string::npos)
              << *verdict;
          EXPECT_EQ(verdict->find("rank 0"), std::string::npos) << *verdict;
          EXPECT_EQ(verdict->find("rank 2"), std::string::npos) << *verdict;
        }
        over.set_value();
      });
      group->barrier();
      judge.join();
      return;
    }
    while (is_over.wait_for(milliseconds(20)) != std::future_status::ready) mine.pulse.beat();
    group->barrier();
  });
}

}  // namespace
}  // namespace switchyard
