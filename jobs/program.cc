#include "jobs/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "base/log.h"
#include "comm/collectively.h"
#include "comm/launcher.h"
#include "comm/mpi_communicator.h"
#include "comm/watched_communicator.h"
#include "jobs/version_info.h"
#include "run/stop.h"

namespace switchyard {
namespace {

void print_usage(std::span<const JobEntry> jobs, std::ostream& out) {
  out << "usage: switchyard JOB [options]     (switchyard JOB --help lists them)\n"
         "       switchyard --version [--json]\n\njobs:\n";
  for (const JobEntry& job : jobs) out << fmt::format("  {:<10}{}\n", job.name, job.help);
}

const JobEntry& find_job(std::span<const JobEntry> jobs, const std::string& name) {
  for (const JobEntry& job : jobs)
    if (job.name == name) return job;
  fail(ExitCode::usage, "\"{}\" is no job (see switchyard --help)", name);
}

/// Runs the job; reports its error once and turns it into the exit code.
int run_job(std::span<const JobEntry> jobs, const JobEntry& job, std::unique_ptr<Communicator> communicator,
            const std::vector<std::string>& args) {
  Pulse pulse;
  const auto watched = watch_communicator(std::move(communicator), pulse);
  Communicator& world = *watched;
  log::identify(world.rank(), world.size());
  try {
    if (job.ranks == Ranks::one && world.size() > 1)
      throw CollectiveError(ExitCode::usage,
                            fmt::format("{} runs as one process, not on {} ranks", job.name, world.size()));
    Runtime runtime{world, pulse, jobs};
    return job.run(runtime, args);
  } catch (const CollectiveError& error) {
    if (world.rank() == 0) log::error("{}", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& exception) {
    const Error error = as_error(exception);
    log::error("{}", error.what());
    if (world.size() > 1) world.abort(static_cast<int>(error.code()));
    return static_cast<int>(error.code());
  }
}

int run(std::span<const JobEntry> jobs, const std::vector<std::string>& args) {
  if (args.empty()) {
    print_usage(jobs, std::cerr);
    return static_cast<int>(ExitCode::usage);
  }
  if (args[0] == "--help" || args[0] == "-h" || args[0] == "help") {
    print_usage(jobs, std::cout);
    return static_cast<int>(ExitCode::complete);
  }
  if (args[0] == "--version") return print_version(std::span(args).subspan(1));
  const JobEntry& job = find_job(jobs, args[0]);
  // A batch system's, at whatever moment; import and delta have files that nobody else would remove.
  if (job.ranks == Ranks::any || job.run == run_import || job.run == run_delta) end_on_signals();
  const std::vector<std::string> rest(args.begin() + 1, args.end());
  if (!launched_by_mpi() || (job.ranks == Ranks::doubted && !launched_by_pmix())) {
    // A shell that srun started may run a job of one process; nobody means n copies of it by another launcher.
    if (job.ranks == Ranks::any || (job.ranks == Ranks::one && !launcher_claim().by_srun())) check_launcher(1);
    return run_job(jobs, job, make_self_communicator(), rest);
  }
  const MpiEnvironment mpi;
  return run_job(jobs, job, make_mpi_communicator(), rest);
}

/// A file opened later must not become standard input, output or error. A closed one stays unreadable or unwritable,
/// and says so.
void open_standard_files() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd)
    if (::fcntl(fd, F_GETFD) < 0)
      ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);  // the lowest number that is free
}

/// What cannot be written is to be an error of the write, with an exit code, not a signal's death.
void ignore_write_signals() {
  for (const int signal : {SIGPIPE, SIGXFSZ}) ::signal(signal, SIG_IGN);
}

/// Whether the standard output took all that was written to it. Network file systems say so only when it is closed; the
/// duplicate is closed in its place, for exit handlers may still write.
bool output_is_written() {
  std::cout.flush();
  return std::cout.good() && ::close(::dup(STDOUT_FILENO)) == 0;
}

/// Reports what was done but could not be told. A more telling exit code stays.
int check_output(int code) {
  const bool done =
      code == static_cast<int>(ExitCode::complete) || code == static_cast<int>(ExitCode::too_many_rejects);
  if (output_is_written()) return code;
  log::error(
      "the standard output cannot be written (a full disk, a closed pipe?): expected to write the results there");
  return done ? static_cast<int>(ExitCode::output) : code;
}

int run_reporting_errors(std::span<const JobEntry> jobs, const std::vector<std::string>& args) {
  try {
    return run(jobs, args);
  } catch (const std::exception& exception) {
    const Error error = as_error(exception);
    log::error("{}", error.what());
    return static_cast<int>(error.code());
  }
}

}  // namespace

int run_program(std::span<const JobEntry> jobs, int argc, char** argv) {
  open_standard_files();
  ignore_write_signals();
  return check_output(run_reporting_errors(jobs, {argv + 1, argv + argc}));
}

}  // namespace switchyard
