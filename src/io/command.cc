#include "io/command.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <sstream>
#include <string_view>

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
  std::vector<std::string> words = argv, variables;
  for (const auto& [name, value] : environment.value_or(environment_without({})))
    variables.push_back(name + "=" + value);

  const Captured out, err;
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  const Handle<SpawnActionsTraits> owner(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, out.fd(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, err.fd(), STDERR_FILENO);

  // Signals that this process ignores would be ignored there too.
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  const Handle<SpawnAttributesTraits> attributes_owner(&attributes);
  sigset_t ignored_here;
  ::sigemptyset(&ignored_here);
  for (const int signal : {SIGPIPE, SIGXFSZ}) ::sigaddset(&ignored_here, signal);
  ::posix_spawnattr_setsigdefault(&attributes, &ignored_here);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);

  pid_t pid = 0;
  const int error = [&] {
    std::optional<BlockedSignals> inherited;
    if (hears == Hears::nothing) inherited.emplace();
    return ::posix_spawnp(&pid, words.front().c_str(), &actions, &attributes, pointers_to(words).data(),
                          pointers_to(variables).data());
  }();
  if (error == ENOENT) return std::nullopt;
  if (error != 0) {
    errno = error;
    fail_errno(ExitCode::environment, "cannot run", argv.front());
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) fail_errno(ExitCode::environment, "cannot wait for", argv.front());
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return CommandResult{code, out.text(), err.text()};
}

}  // namespace switchyard
