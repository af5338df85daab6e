#include "io/command.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <sstream>
#include <string_view>
#include <thread>

#include "base/thread.h"
#include "io/file.h"

extern char** environ;

namespace switchyard {
namespace {

struct SpawnActionsTraits {
  using type = posix_spawn_file_actions_t*;
  static type null() { return nullptr; }
  static void destroy(type actions) noexcept { ::posix_spawn_file_actions_destroy(actions); }
};

struct SpawnAttributesTraits {
  using type = posix_spawnattr_t*;
  static type null() { return nullptr; }
  static void destroy(type attributes) noexcept { ::posix_spawnattr_destroy(attributes); }
};

/// What a program writes, in memory: unlike a pipe it never fills up while nobody reads.
class Captured {
 public:
  Captured() : fd_(::memfd_create("switchyard-command", MFD_CLOEXEC)) {
    if (!fd_) fail_errno(ExitCode::environment, "cannot make", "a file in memory");
  }
  int fd() const { return fd_.get(); }
  std::string text() const {
    std::string text;
    char block[4096];
    for (ssize_t n = 0; (n = ::pread(fd_.get(), block, sizeof block, static_cast<off_t>(text.size()))) > 0;)
      text.append(block, static_cast<size_t>(n));
    return text;
  }

 private:
  FileDescriptor fd_;
};

std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// A program that is about to start: nothing to read, and signals that this process ignores are not ignored there.
class Spawn {
 public:
  explicit Spawn(int16_t flags = 0) : actions_owner_(&actions_), attributes_owner_(&attributes_) {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawnattr_init(&attributes_);
    sigset_t ignored_here;
    ::sigemptyset(&ignored_here);
    for (const int signal : {SIGPIPE, SIGXFSZ}) ::sigaddset(&ignored_here, signal);
    ::posix_spawnattr_setsigdefault(&attributes_, &ignored_here);
    ::posix_spawnattr_setflags(&attributes_, static_cast<int16_t>(POSIX_SPAWN_SETSIGDEF | flags));
  }

  void dup(int from, int to) { ::posix_spawn_file_actions_adddup2(&actions_, from, to); }

  /// 0: there is no such program.
  pid_t start(std::vector<std::string> words, const std::map<std::string, std::string>& environment) const {
    std::vector<std::string> variables;
    for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
    pid_t pid = 0;
    const int error = ::posix_spawnp(&pid, words.front().c_str(), &actions_, &attributes_, pointers_to(words).data(),
                                     pointers_to(variables).data());
    if (error == ENOENT) return 0;
    if (error == 0) return pid;
    errno = error;
    fail_errno(ExitCode::environment, "cannot run", words.front());
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
  Handle<SpawnActionsTraits> actions_owner_;
  Handle<SpawnAttributesTraits> attributes_owner_;
};

int wait_for(pid_t pid, const std::string& program) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) fail_errno(ExitCode::environment, "cannot wait for", program);
  return status;
}

int code_of(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

std::map<std::string, std::string> environment_without(const std::vector<std::string>& prefixes) {
  std::map<std::string, std::string> kept;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const auto scrubbed = [&](const std::string& prefix) { return text.starts_with(prefix); };
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos || std::ranges::any_of(prefixes, scrubbed)) continue;
    kept.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return kept;
}

std::string own_program() {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) fail(ExitCode::environment, "cannot read /proc/self/exe: {}", error.message());
  return path.native();
}

std::string folder_of_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');)
    if (folder.starts_with('/') && ::access((folder + "/" + name).c_str(), X_OK) == 0) return folder;
  return {};
}

std::optional<CommandResult> run_command(const std::vector<std::string>& argv,
                                         const std::optional<std::map<std::string, std::string>>& environment,
                                         Hears hears) {
  const Captured out, err;
  Spawn spawn;
  spawn.dup(out.fd(), STDOUT_FILENO);
  spawn.dup(err.fd(), STDERR_FILENO);
  const pid_t pid = [&] {
    std::optional<BlockedSignals> inherited;
    if (hears == Hears::nothing) inherited.emplace();
    return spawn.start(argv, environment.value_or(environment_without({})));
  }();
  if (pid == 0) return std::nullopt;
  return CommandResult{code_of(wait_for(pid, argv.front())), out.text(), err.text()};
}

int run_to_log(const std::vector<std::string>& argv, const std::map<std::string, std::string>& environment,
               const std::filesystem::path& log, const std::function<bool()>& stop) {
  const FileDescriptor file(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  if (!file) fail_errno(ExitCode::output, "cannot write", log.native());
  Spawn spawn(POSIX_SPAWN_SETPGROUP);
  spawn.dup(file.get(), STDOUT_FILENO);
  spawn.dup(file.get(), STDERR_FILENO);
  const pid_t pid = spawn.start(argv, environment);
  if (pid == 0) fail(ExitCode::environment, "cannot run {}: there is no such program", argv.front());
  constexpr auto kPoll = std::chrono::milliseconds(5);
  int status = 0;
  while (true) {
    const pid_t ended = ::waitpid(pid, &status, WNOHANG);
    if (ended == pid) return code_of(status);
    if (ended < 0 && errno != EINTR) fail_errno(ExitCode::environment, "cannot wait for", argv.front());
    if (stop()) ::kill(pid, SIGTERM);
    std::this_thread::sleep_for(kPoll);
  }
}

}  // namespace switchyard
