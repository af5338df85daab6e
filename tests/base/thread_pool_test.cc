#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <iostream>

#include "base/error.h"
#include "base/thread.h"

namespace switchyard {
namespace {

/// Lets this process have `threads` threads: as a user of its own, for root has no limit and others have processes.
bool limit_threads(rlim_t threads) {
  const rlimit limit{threads, threads};
  return ::setrlimit(RLIMIT_NPROC, &limit) == 0 && ::getuid() == 0 && ::setuid(61236) == 0;
}

TEST(ThreadPoolTest, RunsEveryTaskOnce) {
  ThreadPool pool(3);
  std::atomic<int64_t> sum{0};
  pool.parallel_for(100, [&](int64_t task, int) { sum += task; });
  EXPECT_EQ(sum, 4950);
}

TEST(ThreadPoolTest, ThatGetsNoMoreThreadsFailsWithTheLimits) {
  if (::getuid() != 0) GTEST_SKIP() << "root needed, to become a user without other processes";
  EXPECT_EXIT(
      {
        if (!limit_threads(3)) ::_exit(1);
        try {
          ThreadPool pool(8);
        } catch (const Error& error) {
          std::cerr << error.what();
          ::_exit(static_cast<int>(error.code()));
        }
      },
      ::testing::ExitedWithCode(69), "worker 4 of 8.*this process has 3, ulimit -u is 3");
}

TEST(StartThread, TheThreadHearsNoSignalsButItsOwnFaults) {
  sigset_t mask{};
  start_thread("a test", [&] { ::pthread_sigmask(SIG_BLOCK, nullptr, &mask); }).join();
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGCHLD}) EXPECT_EQ(::sigismember(&mask, signal), 1) << signal;
  EXPECT_EQ(::sigismember(&mask, SIGSEGV), 0);
  ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_EQ(::sigismember(&mask, SIGTERM), 0);
}

}  // namespace
}  // namespace switchyard
