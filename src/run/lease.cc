#include "run/lease.h"

#include <signal.h>
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <mutex>
#include <optional>
#include <sstream>
#include <thread>

#include "base/log.h"
#include "base/thread.h"
#include "io/file.h"

namespace switchyard {
namespace {

using Clock = std::chrono::steady_clock;

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// "pid:[4026531836]"; empty where there is no /proc.
std::string own_pid_namespace() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/ns/pid", error).native();
}

/// Whether the numbers under /proc are those of our PID namespace. A container may have its own namespace and still its
/// parent's /proc, where our process has a number for each: "NSpid: 4711 1".
bool proc_has_our_numbers() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("NSpid:")) return line == fmt::format("NSpid:\t{}", ::getpid());
  return false;
}

struct ProcessStat {
  bool dead = false;  ///< a zombie writes no more
  int64_t start = 0;
};

/// State and start of a process, `pid` a number or "self"; empty when it cannot be seen. The command, field 2, may hold
/// spaces and parentheses: fields are counted from its last one.
std::optional<ProcessStat> process_stat(const std::string& pid) {
  const std::string line = first_line(fmt::format("/proc/{}/stat", pid));
  const size_t end_of_command = line.rfind(')');
  if (end_of_command == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(end_of_command + 1));
  std::string state, field;
  fields >> state;
  for (int i = 4; i <= 22; ++i) fields >> field;
  return ProcessStat{state == "Z" || state == "X", std::strtoll(field.c_str(), nullptr, 10)};
}

/// A number that Slurm has put there, as text; empty without Slurm. It becomes part of paths.
std::string slurm_number(const char* name) {
  constexpr size_t kMaxDigits = 18;
  const char* value = std::getenv(name);
  const std::string_view text = value == nullptr ? "" : value;
  if (text.empty()) return {};
  if (text.size() > kMaxDigits || text.find_first_not_of("0123456789") != text.npos)
    fail(ExitCode::environment, "environment: {}: expected a number, as Slurm sets it, found {}", name,
         brief(std::string(text)));
  return std::string(text);
}

std::string random_nonce() {
  uint64_t bits[2] = {};
  if (::getrandom(bits, sizeof bits, 0) != sizeof bits) fail_errno(ExitCode::environment, "getrandom for", "a nonce");
  return fmt::format("{:016x}{:016x}", bits[0], bits[1]);
}

struct StoredLease {
  std::string text;                   ///< as read; renewing changes it
  std::optional<LeaseHolder> holder;  ///< empty when the text is no lease

  std::string describe() const { return holder ? holder->describe() : "somebody unknown (its lease is unreadable)"; }
};

std::string lease_text(const LeaseHolder& h, int64_t renewal) {
  Json json;
  json["job"] = h.job;
  json["restart"] = h.restart;
  json["host"] = h.host;
  json["boot_id"] = h.boot_id;
  json["pid_namespace"] = h.pid_namespace;
  json["pid"] = h.pid;
  json["pid_start"] = h.pid_start;
  json["nonce"] = h.nonce;
  json["renew_ms"] = h.renew_ms;
  json["renewal"] = renewal;
  return to_text(json) + "\n";
}

LeaseHolder parse_holder(const std::string& text, const std::string& subject) {
  const Json json = parse_json(text, subject);
  LeaseHolder h;
  h.job = require_string(json, "job", subject);
  h.restart = require_int(json, "restart", subject, 0, INT64_MAX);
  h.host = require_string(json, "host", subject);
  h.boot_id = require_string(json, "boot_id", subject);
  if (find_field(json, "pid_namespace") != nullptr) h.pid_namespace = require_string(json, "pid_namespace", subject);
  h.pid = require_int(json, "pid", subject, 1, std::numeric_limits<pid_t>::max());
  h.pid_start = require_int(json, "pid_start", subject, 0, INT64_MAX);
  h.nonce = require_string(json, "nonce", subject);
  if (find_field(json, "renew_ms") != nullptr) h.renew_ms = require_int(json, "renew_ms", subject, 0, INT32_MAX);
  return h;
}

/// Empty when there is no file.
std::optional<StoredLease> read_lease(const std::filesystem::path& path) {
  std::error_code error;
  StoredLease stored;
  try {
    stored.text = read_text_file(path, 1 << 16);
    stored.holder = parse_holder(stored.text, path.string());
  } catch (const Error&) {
    if (!std::filesystem::exists(path, error)) return std::nullopt;
  }
  return stored;
}

bool is_free_at_once(const LeaseHolder& held, const LeaseHolder& self) {
  if (!held.job.empty() && held.job == self.job && self.restart > held.restart) return true;
  return is_gone(held);
}

/// Watches a lease that may be alive until it is free, or fails.
void wait_until_free(const std::filesystem::path& path, const LeaseHolder& self, std::chrono::milliseconds timeout,
                     const std::function<void()>& poll) {
  const auto since = Clock::now();
  double timeout_seconds = 0;
  std::optional<StoredLease> seen;
  while (const auto stored = read_lease(path)) {
    if (stored->holder && is_free_at_once(*stored->holder, self)) return;
    if (!seen) {
      seen = stored;
      // One that lives must have had the time to show it, whatever was asked for.
      if (stored->holder) timeout = std::max(timeout, std::chrono::milliseconds(stored->holder->renew_ms * 5 / 2));
      timeout_seconds = std::chrono::duration<double>(timeout).count();
      log::info("the run directory is leased to {}; watching it for up to {} s", stored->describe(), timeout_seconds);
    } else if (stored->text != seen->text) {
      fail(ExitCode::mismatch, "run directory {} is in use by {}: its lease was just renewed",
           path.parent_path().string(), stored->describe());
    } else if (Clock::now() - since >= timeout) {
      log::warning("taking over the lease of {}: not renewed for {} s", stored->describe(), timeout_seconds);
      return;
    }
    if (poll) poll();
    std::this_thread::sleep_for(std::min<std::chrono::milliseconds>(timeout / 20, std::chrono::milliseconds(250)));
  }
}

}  // namespace

LeaseHolder LeaseHolder::self() {
  LeaseHolder h;
  h.job = slurm_number("SLURM_JOB_ID");
  if (const std::string restart = slurm_number("SLURM_RESTART_COUNT"); !restart.empty())
    h.restart = std::stoll(restart);
  char host[256] = {};
  ::gethostname(host, sizeof host - 1);
  h.host = host;
  h.boot_id = first_line("/proc/sys/kernel/random/boot_id");
  h.pid_namespace = own_pid_namespace();
  h.pid = ::getpid();
  h.pid_start = process_stat("self").value_or(ProcessStat{}).start;
  h.nonce = random_nonce();
  return h;
}

std::string LeaseHolder::describe() const {
  return fmt::format("{}host {}, pid {}", job.empty() ? "" : fmt::format("job {} (restart {}), ", job, restart), host,
                     pid);
}

struct Lease::Thread {
  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;
  std::thread thread;
};

std::unique_ptr<Lease> Lease::acquire(const std::filesystem::path& path, std::chrono::milliseconds timeout,
                                      std::chrono::milliseconds renew_every, const std::function<void()>& poll) {
  LeaseHolder self = LeaseHolder::self();
  self.renew_ms = renew_every.count();
  wait_until_free(path, self, timeout, poll);
  write_file_atomically(path, lease_text(self, 0));
  // Several newcomers may have found it free at once: the last to write has it, which shows when all have written.
  std::this_thread::sleep_for(std::min<std::chrono::milliseconds>(timeout / 10, std::chrono::milliseconds(200)));
  check_lease(path, self.nonce);
  std::unique_ptr<Lease> lease(new Lease(path, self, renew_every));
  Lease* const held = lease.get();
  held->thread_->thread = start_thread("renewing the lease", [held] { held->renew_loop(); });
  return lease;
}

Lease::Lease(std::filesystem::path path, LeaseHolder holder, std::chrono::milliseconds renew_every)
    : path_(std::move(path)),
      holder_(std::move(holder)),
      renew_every_(renew_every),
      thread_(std::make_unique<Thread>()) {}

void Lease::renew_loop() {
  int64_t renewal = 0;
  std::unique_lock lock(thread_->mutex);
  while (!thread_->wake.wait_for(lock, renew_every_, [this] { return thread_->stopping; })) {
    try {
      check_lease(path_, holder_.nonce);
      replace_file(path_, lease_text(holder_, ++renewal));  // a busy disk must not make us look dead
    } catch (const Error& error) {
      if (error.code() == ExitCode::mismatch) {
        lost_ = true;
        return;
      }
      log::warning("lease not renewed: {}", error.what());  // a full disk may pass; whoever publishes checks again
    }
  }
}

Lease::~Lease() {
  {
    const std::lock_guard lock(thread_->mutex);
    thread_->stopping = true;
  }
  thread_->wake.notify_all();
  if (thread_->thread.joinable()) thread_->thread.join();  // else it could not be started
  const auto stored = read_lease(path_);
  if (stored && stored->holder && stored->holder->nonce == holder_.nonce) ::unlink(path_.c_str());
}

std::optional<LeaseHolder> read_lease_holder(const std::filesystem::path& path) {
  const auto stored = read_lease(path);
  return stored ? stored->holder : std::nullopt;
}

bool is_gone(const LeaseHolder& holder) {
  const LeaseHolder self = LeaseHolder::self();
  const auto same = [&](std::string LeaseHolder::*field) {
    return holder.*field == self.*field && !(self.*field).empty();
  };
  if (!same(&LeaseHolder::host) || !same(&LeaseHolder::boot_id) || !same(&LeaseHolder::pid_namespace)) return false;
  // hidepid hides a process in /proc, but not from kill.
  if (::kill(static_cast<pid_t>(holder.pid), 0) != 0 && errno == ESRCH) return true;
  if (!proc_has_our_numbers()) return false;
  const std::optional<ProcessStat> now = process_stat(std::to_string(holder.pid));
  return now && (now->dead || (holder.pid_start != 0 && now->start != holder.pid_start));
}

void check_lease(const std::filesystem::path& path, const std::string& nonce) {
  // Over NFS a file that is being replaced may be missing, or unreadable, for a moment.
  auto stored = read_lease(path);
  for (int tries = 0; tries < 5 && !(stored && stored->holder); ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    stored = read_lease(path);
  }
  if (stored && stored->holder && stored->holder->nonce == nonce) return;
  fail(ExitCode::mismatch, "run directory {} was taken over by {}", path.parent_path().string(),
       stored ? stored->describe() : "an attempt that has ended (its lease is gone)");
}

}  // namespace switchyard
