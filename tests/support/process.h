// Child processes for tests of whole programs.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace switchyard::test {

struct ProcessResult {
  int exit_code = -1;  ///< 128 + signal when killed by one
  std::string out, err;
};

class Process {
 public:
  /// Starts argv[0], found in PATH, in a process group of its own, with `environment` added.
  explicit Process(const std::vector<std::string>& argv, const std::map<std::string, std::string>& environment = {});
  ~Process();  ///< kills the whole group if it still runs
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  bool running();
  /// Waits; kills the group after `timeout` (exit code 137).
  ProcessResult wait(std::chrono::seconds timeout = std::chrono::seconds(120));

 private:
  void reap(int status);
  pid_t pid_ = -1;
  bool ended_ = false;
  ProcessResult result_;
  std::string out_path_, err_path_;
};

ProcessResult run(const std::vector<std::string>& argv, const std::map<std::string, std::string>& environment = {});

/// The command in front of a program for `ranks` MPI ranks on this machine; empty for 0 (no MPI at all).
std::vector<std::string> mpirun(int ranks);
/// What mpirun needs in the environment here (as root, oversubscribed, unbound).
std::map<std::string, std::string> mpi_environment();

/// Direct and indirect children of `pid` whose program is called `name`.
std::vector<pid_t> descendants(pid_t pid, const std::string& name);

}  // namespace switchyard::test
