#include "tests/support/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace switchyard::test {
namespace {

std::string temporary_file() {
  std::string path = std::filesystem::temp_directory_path() / "switchyard-test-XXXXXX";
  const int fd = ::mkstemp(path.data());
  if (fd < 0) throw std::runtime_error("mkstemp failed");
  ::close(fd);
  return path;
}

std::string take_file(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  std::filesystem::remove(path);
  return text.str();
}

}  // namespace

Process::Process(const std::vector<std::string>& argv, const std::map<std::string, std::string>& environment)
    : out_path_(temporary_file()), err_path_(temporary_file()) {
  std::vector<char*> args;
  for (const std::string& arg : argv) args.push_back(const_cast<char*>(arg.c_str()));
  args.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ > 0) return;
  ::setpgid(0, 0);
  ::dup2(::open("/dev/null", O_RDONLY), STDIN_FILENO);
  ::dup2(::open(out_path_.c_str(), O_WRONLY | O_TRUNC), STDOUT_FILENO);
  ::dup2(::open(err_path_.c_str(), O_WRONLY | O_TRUNC), STDERR_FILENO);
  for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
  ::execvp(args[0], args.data());
  ::_exit(127);
}

Process::~Process() {
  if (ended_) return;
  ::kill(-pid_, SIGKILL);
  wait(std::chrono::seconds(10));
}

void Process::reap(int status) {
  ended_ = true;
  result_.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result_.out = take_file(out_path_);
  result_.err = take_file(err_path_);
}

bool Process::running() {
  int status = 0;
  if (!ended_ && ::waitpid(pid_, &status, WNOHANG) == pid_) reap(status);
  return !ended_;
}

ProcessResult Process::wait(std::chrono::seconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (running()) {
    if (std::chrono::steady_clock::now() > deadline) ::kill(-pid_, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return result_;
}

ProcessResult run(const std::vector<std::string>& argv, const std::map<std::string, std::string>& environment) {
  return Process(argv, environment).wait();
}

std::vector<std::string> mpirun(int ranks) {
  if (ranks == 0) return {};
  return {"mpirun", "--oversubscribe", "--bind-to", "none", "-n", std::to_string(ranks)};
}

std::map<std::string, std::string> mpi_environment() {
  return {{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
          {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
          {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
          {"OMPI_MCA_mpi_yield_when_idle", "1"}};
}

std::vector<pid_t> descendants(pid_t pid, const std::string& name) {
  std::map<pid_t, pid_t> parent;
  std::map<pid_t, std::string> program;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t id = std::atoi(entry.path().filename().c_str());
    std::ifstream stat(entry.path() / "stat");
    std::string line;
    if (id <= 0 || !std::getline(stat, line)) continue;
    const size_t open = line.find('('), close = line.rfind(')');
    if (open == std::string::npos || close == std::string::npos) continue;
    program[id] = line.substr(open + 1, close - open - 1);
    std::istringstream rest(line.substr(close + 1));
    char state = 0;
    rest >> state >> parent[id];
  }
  std::vector<pid_t> found;
  for (const auto& [id, called] : program) {
    if (called != name) continue;
    pid_t ancestor = id;
    while (ancestor > 1 && ancestor != pid) ancestor = parent.count(ancestor) > 0 ? parent[ancestor] : 0;
    if (ancestor == pid && id != pid) found.push_back(id);
  }
  return found;
}

}  // namespace switchyard::test
