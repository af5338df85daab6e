// A merge as the watchdogs of the ranks that wait for it see it.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include "jobs/score/results.h"
#include "tests/run/watched_ranks.h"
#include "tests/support/small_runs.h"

namespace {

// How long fsync() of a results file lasts, unless `sync_ends` comes true before.
std::atomic<int64_t> sync_milliseconds{0};
std::atomic<bool> sync_ends{false};

}  // namespace

/// In place of the C library's: a slow, or hung, file system.
extern "C" int fsync(int fd) {
  std::error_code ignored;
  const auto path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), ignored);
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(sync_milliseconds);
  while (path.native().find("results.h5.tmp") != std::string::npos && !sync_ends &&
         std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

namespace switchyard {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Rank 0 of three merges while the others wait for it.
class MergeWatchTest : public ::testing::Test, protected test::WatchedRanks, protected test::SmallRuns {
 protected:
  /// Of ranks that are to be waited for: longer than the file system of a busy machine keeps a sign of life back.
  static constexpr milliseconds kLongTimeout{2500};

  MergeWatchTest() {
    hold_lease(shards_);
    for (const int64_t chunk : {0, 1, 2}) write(shards_, chunk);
    sync_milliseconds = 0;
    sync_ends = false;
  }
  void begin(milliseconds timeout, int patience) {
    ranks_ = start(3, timeout, patience);
    ranks_[0]->pulse.phase("merging");
    for (const int r : {1, 2}) wait_in_world(*ranks_[static_cast<size_t>(r)]);
  }
  MergeInput watched_merge() {
    MergeInput merge = merge_of(shards_);
    merge.pulse = &ranks_[0]->pulse;
    return merge;
  }
  void expect_rank_0_named() {
    for (const int r : {1, 2}) {
      const auto verdict = verdict_of(*ranks_[static_cast<size_t>(r)], seconds(10));
      ASSERT_TRUE(verdict.has_value()) << r;
      EXPECT_NE(verdict->find("rank 0 on n1 is in merging"), std::string::npos) << *verdict;
    }
  }
  void expect_no_verdict() {
    for (auto& rank : ranks_) rank->watchdog.reset();
    EXPECT_EQ(read_verdict(hang_directory()), "");
  }

  ShardSet shards_ = make_run("run");
  std::vector<std::unique_ptr<Rank>> ranks_;
};

TEST_F(MergeWatchTest, OneThatHangsBetweenShardsIsFound) {
  begin(milliseconds(800), 10);
  std::promise<void> hang;
  int asked = 0;
  MergeInput merge = watched_merge();
  merge.stop = [&] {
    if (++asked == 5) hang.get_future().wait();
    return false;
  };
  std::thread rank_0([&] { merge_results(merge); });
  expect_rank_0_named();
  hang.set_value();
  rank_0.join();
}

TEST_F(MergeWatchTest, OneWithSlowShardsIsWaitedFor) {
  begin(kLongTimeout, 10);
  MergeInput merge = watched_merge();
  merge.stop = [&] {  // six times: more than two timeouts
    std::this_thread::sleep_for(kLongTimeout * 2 / 5);
    return false;
  };
  EXPECT_EQ(merge_results(merge), MergeOutcome::complete);
  expect_no_verdict();
}

TEST_F(MergeWatchTest, OneWhoseSyncLastsSeveralTimeoutsIsWaitedFor) {
  begin(kLongTimeout, 10);
  sync_milliseconds = 3 * kLongTimeout.count();
  EXPECT_EQ(merge_results(watched_merge()), MergeOutcome::complete);
  expect_no_verdict();
}

TEST_F(MergeWatchTest, OneWhoseSyncNeverEndsIsFoundInTheEnd) {
  begin(milliseconds(800), 3);
  sync_milliseconds = 60000;
  std::thread rank_0([&] { merge_results(watched_merge()); });
  EXPECT_EQ(verdict_of(*ranks_[0], milliseconds(2000)), std::nullopt);  // patience lasts
  expect_rank_0_named();
  sync_ends = true;
  rank_0.join();
}

}  // namespace
}  // namespace switchyard
