#include "base/thread.h"

#include <sys/resource.h>

#include <fstream>
#include <string>
#include <system_error>

#include "base/control_groups.h"
#include "base/error.h"

namespace switchyard {
namespace {

/// "Threads:  5" of /proc/self/status.
std::string threads_of_this_process() {
  std::ifstream status("/proc/self/status");
  for (std::string key, value; status >> key && std::getline(status >> std::ws, value);)
    if (key == "Threads:") return value;
  return "?";
}

std::string thread_limits() {
  rlimit user{};
  ::getrlimit(RLIMIT_NPROC, &user);
  std::string text = "ulimit -u is " + (user.rlim_cur == RLIM_INFINITY ? "unlimited" : std::to_string(user.rlim_cur));
  for (const ControlGroup& group : control_groups("pids"))
    if (const auto most = group.number("pids.max"))
      text += fmt::format(", {} allows {} and has {}", group.directory.native(), *most,
                          group.number("pids.current").value_or(0));
  return text;
}

}  // namespace

BlockedSignals::BlockedSignals() {
  sigset_t blocked;
  ::sigfillset(&blocked);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) ::sigdelset(&blocked, fault);
  ::pthread_sigmask(SIG_SETMASK, &blocked, &before_);
}

BlockedSignals::~BlockedSignals() {
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

std::thread start_thread(std::string_view purpose, std::function<void()> body) {
  const BlockedSignals blocked;
  try {
    return std::thread(std::move(body));
  } catch (const std::system_error& error) {
    fail(ExitCode::environment,
         "cannot start a thread for {}: {}; this process has {}, {}. Raise the limit or use fewer --threads", purpose,
         error.code().message(), threads_of_this_process(), thread_limits());
  }
}

}  // namespace switchyard
