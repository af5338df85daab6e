#include "io/lease.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "io/file.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::fails;
using namespace std::chrono_literals;

class LeaseTest : public ::testing::Test {
 protected:
  void TearDown() override {
    ::unsetenv("SLURM_JOB_ID");
    ::unsetenv("SLURM_RESTART_COUNT");
  }
  std::filesystem::path path() const { return directory_ / "lease.json"; }
  void write_foreign(int renewal, const std::string& job = "17") const {
    write_file_atomically(
        path(), R"({"job":")" + job +
                    R"(","restart":0,"host":"elsewhere","boot_id":"b","pid":4,"pid_start":5,"nonce":"00","renewal":)" +
                    std::to_string(renewal) + "}");
  }
  test::TemporaryDirectory directory_;
};

TEST_F(LeaseTest, FreeIsTakenAndGivenBack) {
  {
    const auto lease = Lease::acquire(path(), 100ms);
    check_lease(path(), lease->nonce());
    EXPECT_TRUE(fails(ExitCode::mismatch, {"taken over"}, [&] { check_lease(path(), "0"); }));
  }
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(LeaseTest, OfADeadProcessOfThisBootIsFreeAtOnce) {
  const pid_t child = ::fork();
  if (child == 0) {
    Lease::acquire(path(), 100ms).release();  // killed without giving it back
    ::raise(SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  ASSERT_TRUE(std::filesystem::exists(path()));
  const auto start = std::chrono::steady_clock::now();
  Lease::acquire(path(), 10s);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 3s);
}

TEST_F(LeaseTest, OfTheSameJobIsFreeForALaterRestart) {
  write_foreign(0);
  ::setenv("SLURM_JOB_ID", "17", 1);
  ::setenv("SLURM_RESTART_COUNT", "1", 1);
  const auto start = std::chrono::steady_clock::now();
  Lease::acquire(path(), 10s);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 3s);
}

TEST_F(LeaseTest, UnchangedForTheTimeoutItIsTakenOver) {
  write_foreign(0);
  const auto start = std::chrono::steady_clock::now();
  Lease::acquire(path(), 400ms);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 400ms);
}

TEST_F(LeaseTest, GarbageIsWatchedLikeAForeignLease) {
  write_file_atomically(path(), "{\"nonce\": 7");
  Lease::acquire(path(), 200ms);
}

TEST_F(LeaseTest, RenewedItIsRefused) {
  write_foreign(0);
  std::jthread holder([&](const std::stop_token& stop) {
    for (int i = 1; !stop.stop_requested(); ++i) {
      write_foreign(i);
      std::this_thread::sleep_for(30ms);
    }
  });
  EXPECT_TRUE(fails(ExitCode::mismatch, {"job 17", "elsewhere"}, [&] { Lease::acquire(path(), 2s); }));
}

TEST_F(LeaseTest, AHolderRenewsAndNoticesThatItLostIt) {
  const auto lease = Lease::acquire(path(), 100ms, 20ms);
  const std::string before = read_text_file(path());
  std::this_thread::sleep_for(200ms);
  EXPECT_NE(read_text_file(path()), before);
  EXPECT_FALSE(lease->lost());
  write_foreign(0);
  for (int i = 0; i < 100 && !lease->lost(); ++i) {
    std::this_thread::sleep_for(20ms);
    if (i % 10 == 9) write_foreign(i);  // a renewal may have been under way
  }
  EXPECT_TRUE(lease->lost());
}

TEST_F(LeaseTest, MissingForAMomentItIsStillHeld) {
  const auto lease = Lease::acquire(path(), 100ms);
  const std::string text = read_text_file(path());
  std::filesystem::remove(path());  // as NFS may show a file that is being replaced
  std::thread renewal([&] {
    std::this_thread::sleep_for(300ms);
    write_file_atomically(path(), text);
  });
  EXPECT_NO_THROW(check_lease(path(), lease->nonce()));
  renewal.join();
}

TEST_F(LeaseTest, WaitingCanBeGivenUp) {
  write_foreign(0);
  EXPECT_TRUE(fails(ExitCode::interrupted, {"enough"},
                    [&] { Lease::acquire(path(), 10s, 10s, [] { fail(ExitCode::interrupted, "enough"); }); }));
}

TEST_F(LeaseTest, OfManyNewcomersAtOnceOneWins) {
  std::vector<pid_t> children;
  for (int i = 0; i < 8; ++i) {
    const pid_t child = ::fork();
    if (child != 0) {
      children.push_back(child);
      continue;
    }
    try {
      const auto lease = Lease::acquire(path(), 5s, 20ms);
      std::this_thread::sleep_for(1500ms);  // long enough for all others to have decided
      ::_exit(lease->lost() ? 3 : 0);
    } catch (const Error& error) {
      ::_exit(error.code() == ExitCode::mismatch ? 1 : 2);
    }
  }
  int winners = 0, losers = 0;
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    winners += WEXITSTATUS(status) == 0 ? 1 : 0;
    losers += WEXITSTATUS(status) == 1 ? 1 : 0;
  }
  EXPECT_EQ(winners, 1);
  EXPECT_EQ(losers, 7);
}

}  // namespace
}  // namespace switchyard
