// The command line: find the job, start MPI, run, catch once.
#include <fmt/format.h>

#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "base/log.h"
#include "comm/launcher.h"
#include "comm/mpi_communicator.h"
#include "comm/watched_communicator.h"
#include "jobs/collectively.h"
#include "jobs/job.h"
#include "jobs/score/stop.h"
#include "jobs/version_info.h"

namespace switchyard {
namespace {

void print_usage(std::ostream& out) {
  out << "usage: switchyard JOB [options]     (switchyard JOB --help lists them)\n"
         "       switchyard --version [--json]\n\njobs:\n";
  for (const JobEntry& job : jobs()) out << fmt::format("  {:<10}{}\n", job.name, job.help);
}

const JobEntry& find_job(const std::string& name) {
  for (const JobEntry& job : jobs())
    if (job.name == name) return job;
  fail(ExitCode::usage, "\"{}\" is no job (see switchyard --help)", name);
}

/// Runs the job; reports its error once and turns it into the exit code.
int run_job(const JobEntry& job, std::unique_ptr<Communicator> communicator, const std::vector<std::string>& args) {
  Pulse pulse;
  const auto watched = watch_communicator(std::move(communicator), pulse);
  Communicator& world = *watched;
  log::identify(world.rank(), world.size());
  try {
    if (job.ranks == Ranks::one && world.size() > 1)
      throw CollectiveError(ExitCode::usage,
                            fmt::format("{} runs as one process, not on {} ranks", job.name, world.size()));
    Runtime runtime{world, pulse};
    return job.run(runtime, args);
  } catch (const CollectiveError& error) {
    if (world.rank() == 0) log::error("{}", error.what());
    return static_cast<int>(error.code());
  } catch (const Error& error) {
    log::error("{}", error.what());
    if (world.size() > 1) world.abort(static_cast<int>(error.code()));
    return static_cast<int>(error.code());
  } catch (const std::bad_alloc&) {
    log::error("out of memory");
    if (world.size() > 1) world.abort(static_cast<int>(ExitCode::environment));
    return static_cast<int>(ExitCode::environment);
  } catch (const std::exception& error) {
    log::error("internal error: {}", error.what());
    if (world.size() > 1) world.abort(static_cast<int>(ExitCode::internal));
    return static_cast<int>(ExitCode::internal);
  }
}

int run(const std::vector<std::string>& args) {
  if (args.empty()) {
    print_usage(std::cerr);
    return static_cast<int>(ExitCode::usage);
  }
  if (args[0] == "--help" || args[0] == "-h" || args[0] == "help") {
    print_usage(std::cout);
    return static_cast<int>(ExitCode::complete);
  }
  if (args[0] == "--version") return print_version(std::span(args).subspan(1));
  const JobEntry& job = find_job(args[0]);
  if (job.ranks == Ranks::any) end_on_signals();  // a batch system's, at whatever moment
  const std::vector<std::string> rest(args.begin() + 1, args.end());
  if (!launched_by_mpi() || (job.ranks == Ranks::doubted && !launched_by_pmix())) {
    // A shell that srun started may run a job of one process; nobody means n copies of it by another launcher.
    if (job.ranks == Ranks::any || (job.ranks == Ranks::one && !launcher_claim().by_srun())) check_launcher(1);
    return run_job(job, make_self_communicator(), rest);
  }
  const MpiEnvironment mpi;
  return run_job(job, make_mpi_communicator(), rest);
}

}  // namespace
}  // namespace switchyard

int main(int argc, char** argv) {
  try {
    return switchyard::run({argv + 1, argv + argc});
  } catch (const switchyard::Error& error) {
    switchyard::log::error("{}", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    switchyard::log::error("internal error: {}", error.what());
    return static_cast<int>(switchyard::ExitCode::internal);
  }
}
