#include "run/lease.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
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
  void write(const LeaseHolder& h, const std::string& pid_namespace_field) const {
    write_file_atomically(
        path(),
        fmt::format(R"({{"job":"","restart":0,"host":"{}","boot_id":"{}",{}"pid":{},"pid_start":{},"nonce":"0",)"
                    R"("renewal":1}})",
                    h.host, h.boot_id, pid_namespace_field, h.pid, h.pid_start));
  }
  test::TemporaryDirectory directory_;
};

/// What a child process exits with; an error's code if one escapes it.
int exit_code_of(const std::function<int()>& body) {
  try {
    return body();
  } catch (const Error& error) {
    return static_cast<int>(error.code());
  }
}
int in_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(exit_code_of(body));
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// A process that has ended, as a lease would name it.
LeaseHolder dead_holder() {
  LeaseHolder holder = LeaseHolder::self();
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  holder.pid = child;
  return holder;
}

/// Holds a lease and renews it, in a PID namespace of its own if told so, until the end of the scope.
class LivingHolder {
 public:
  enum Where : uint8_t { here, own_namespace, own_namespace_and_proc };

  LivingHolder(const std::filesystem::path& path, Where where) : child_(::fork()) {
    if (child_ == 0) ::_exit(exit_code_of([&] { return where == here ? hold(path) : hold_apart(path, where); }));
    for (int i = 0; i < 400 && running() && !std::filesystem::exists(path); ++i) std::this_thread::sleep_for(10ms);
  }
  ~LivingHolder() {
    if (running()) ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  LivingHolder(const LivingHolder&) = delete;
  LivingHolder& operator=(const LivingHolder&) = delete;

  bool running() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
  }

 private:
  static int hold(const std::filesystem::path& path) {
    const auto lease = Lease::acquire(path, 100ms, 20ms);
    std::this_thread::sleep_for(10s);
    return 0;
  }
  static int hold_apart(const std::filesystem::path& path, Where where) {
    if (::unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) return 1;
    return in_child([&] {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (where == own_namespace_and_proc && !mount_proc("")) return 1;
      return hold(path);
    });
  }

 public:
  /// A /proc of this PID namespace, for this mount namespace alone.
  static bool mount_proc(const char* options) {
    return ::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("proc", "/proc", "proc", 0, options) == 0;
  }

 private:
  pid_t child_;
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

TEST_F(LeaseTest, AHolderIsJudgedByItsPidOnlyWhereThatIsKnown) {
  const LeaseHolder dead = dead_holder();
  EXPECT_TRUE(is_gone(dead));
  const auto judged_with = [&](std::string LeaseHolder::*field, const char* value) {
    LeaseHolder other = dead;
    other.*field = value;
    return is_gone(other);
  };
  EXPECT_FALSE(judged_with(&LeaseHolder::host, "elsewhere"));
  EXPECT_FALSE(judged_with(&LeaseHolder::boot_id, "of a namesake"));
  EXPECT_FALSE(judged_with(&LeaseHolder::boot_id, ""));
  EXPECT_FALSE(judged_with(&LeaseHolder::pid_namespace, "pid:[1]"));
  EXPECT_FALSE(judged_with(&LeaseHolder::pid_namespace, ""));

  LeaseHolder self = LeaseHolder::self();
  EXPECT_FALSE(is_gone(self));
  self.pid_start -= 1;  // the number belonged to another process before
  EXPECT_TRUE(is_gone(self));
  self.pid_start = 0;  // not known
  EXPECT_FALSE(is_gone(self));
}

TEST_F(LeaseTest, OfADeadProcessWithoutItsNamespaceIsWatched) {
  const LeaseHolder dead = dead_holder();
  const auto takes_long = [&](const std::string& field) {
    write(dead, field);
    const auto start = std::chrono::steady_clock::now();
    Lease::acquire(path(), 400ms);
    return std::chrono::steady_clock::now() - start >= 400ms;
  };
  EXPECT_TRUE(takes_long("")) << "an earlier version's";
  EXPECT_TRUE(takes_long(R"("pid_namespace":7,)")) << "unreadable";
  EXPECT_TRUE(takes_long(R"("pid_namespace":"pid:[1]",)")) << "another container's";
  EXPECT_FALSE(takes_long(fmt::format(R"("pid_namespace":"{}",)", dead.pid_namespace)));
}

TEST_F(LeaseTest, OfAProcessInAnotherPidNamespaceIsNotTakenOver) {
  for (const auto where : {LivingHolder::own_namespace, LivingHolder::own_namespace_and_proc}) {
    std::filesystem::remove(path());
    const LivingHolder holder(path(), where);
    if (!holder.running()) GTEST_SKIP() << "no PID namespaces here (root needed)";
    EXPECT_TRUE(fails(ExitCode::mismatch, {"in use"}, [&] { Lease::acquire(path(), 2s); })) << where;
  }
}

// The holder's parent /proc shows other processes under its numbers.
TEST_F(LeaseTest, WithAForeignProcAHolderIsNotTakenForDead) {
  const int code = in_child([&] {
    if (::unshare(CLONE_NEWPID) != 0) return 1;
    return in_child([&] {
      const LivingHolder holder(path(), LivingHolder::here);
      return fails(ExitCode::mismatch, {"in use"}, [&] { Lease::acquire(path(), 2s); }) ? 0 : 2;
    });
  });
  if (code == 1) GTEST_SKIP() << "no PID namespaces here (root needed)";
  EXPECT_EQ(code, 0);
}

// To a user of a machine with hidepid, processes of others are not in /proc.
TEST_F(LeaseTest, OfAHiddenProcessIsNotTakenOverOfADeadOneItIs) {
  constexpr uid_t kOther = 61234;
  std::filesystem::permissions(directory_.path(), std::filesystem::perms::all);
  const auto acquire_as_other = [&] {
    return in_child([&] {
      if (::unshare(CLONE_NEWNS) != 0 || !LivingHolder::mount_proc("hidepid=2")) return 1;
      if (::setgid(kOther) != 0 || ::setuid(kOther) != 0) return 1;
      if (std::filesystem::exists(fmt::format("/proc/{}", ::getppid()))) return 1;
      Lease::acquire(path(), 1s);
      return 0;
    });
  };
  {
    const LivingHolder holder(path(), LivingHolder::here);
    const int code = acquire_as_other();
    if (code == 1) GTEST_SKIP() << "no mount namespaces, or no hidepid here (root needed)";
    EXPECT_EQ(code, static_cast<int>(ExitCode::mismatch));
  }
  const LeaseHolder dead = dead_holder();
  write(dead, fmt::format(R"("pid_namespace":"{}",)", dead.pid_namespace));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(acquire_as_other(), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 900ms);
}

TEST_F(LeaseTest, WithoutAThreadToRenewItItIsGivenBack) {
  const int code = in_child([&] {
    std::filesystem::permissions(directory_.path(), std::filesystem::perms::all);
    const rlimit limit{1, 1};
    if (::setrlimit(RLIMIT_NPROC, &limit) != 0 || (::getuid() == 0 && ::setuid(61235) != 0)) return 1;
    return fails(ExitCode::environment, {"renewing the lease"}, [&] { Lease::acquire(path(), 100ms); }) ? 0 : 2;
  });
  if (code == 1) GTEST_SKIP() << "no limit on threads here";
  EXPECT_EQ(code, 0);
  EXPECT_FALSE(std::filesystem::exists(path()));
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

TEST_F(LeaseTest, ALiveOneIsNotTakenOverBeforeItCouldHaveBeenRenewed) {
  const auto held = Lease::acquire(path(), 100ms, 400ms);
  EXPECT_TRUE(fails(ExitCode::mismatch, {"in use"}, [&] { Lease::acquire(path(), 50ms); }));
  EXPECT_FALSE(held->lost());
}

TEST_F(LeaseTest, NumbersOfSlurmAreChecked) {
  for (const char* bad : {"../../x", "\xff", "17_3", "-1"}) {
    ::setenv("SLURM_JOB_ID", bad, 1);
    EXPECT_TRUE(fails(ExitCode::environment, {"SLURM_JOB_ID"}, [] { LeaseHolder::self(); })) << bad;
  }
  ::setenv("SLURM_JOB_ID", "17", 1);
  ::setenv("SLURM_RESTART_COUNT", "-3", 1);
  EXPECT_TRUE(fails(ExitCode::environment, {"SLURM_RESTART_COUNT", "-3"}, [] { LeaseHolder::self(); }));
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
