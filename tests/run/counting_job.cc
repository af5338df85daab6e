// The smallest job that can be resumed: every unit is a number, its file holds the square; the sum is the result.
#include <fstream>
#include <thread>

#include "io/file.h"
#include "jobs/program.h"
#include "run/attempt.h"

namespace switchyard {
namespace {

struct CountOptions {
  std::string run;
  int64_t units = 20, milliseconds = 0;

  void describe(OptionSet& o) {
    o.group("What");
    o.add("run", &run, "DIR", "run directory");
    o.add("units", within(&units, 0, 1000), "N", "numbers to square");
    o.add("milliseconds", within(&milliseconds, 0, 60'000), "T", "that each takes");
    o.require("run");
  }
};

int run_count(Runtime& runtime, std::span<const std::string> args) {
  CountOptions options;
  OptionSet set;
  options.describe(set);
  if (!parse_job_options(runtime, set, "count", args)) return 0;

  WorkUnits units = WorkUnits::of_items(options.units, 1);
  units.name = units.items = "numbers";
  units.files = "squares/square-*.txt";
  units.results = "sum.txt";
  const Fingerprint fingerprint = {{"units", std::to_string(options.units)}};
  Communicator& world = runtime.world;
  Attempt attempt(world, runtime.pulse, {.run = options.run}, resolved_config(set));
  return static_cast<int>(attempt.run([&] {
    attempt.take(units, fingerprint);
    attempt.begin(0);
    attempt.identify(fingerprint, {{"job", "count"}});
    const std::filesystem::path& root = attempt.directory().root();
    attempt.resume(units.present(root));
    int64_t done = 0;
    for (const int64_t unit : attempt.pending(world.rank(), world.size())) {
      runtime.pulse.beat();
      if (attempt.time_is_up(1)) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(options.milliseconds));
      attempt.publish(unit, [&](const std::filesystem::path& path) { std::ofstream(path) << unit * unit; });
      ++done;
      attempt.tell(0, [] { return ""; });
    }
    const ExitCode code = attempt.finish({}, done, [&] {
      int64_t sum = 0;
      for (int64_t unit = 0; unit < units.total; ++unit) sum += std::stoll(read_text_file(units.file(root, unit)));
      write_file_atomically(root / units.results, std::to_string(sum));
      attempt.write_state(RunStatus::complete, ExitCode::complete, "");
      return ExitCode::complete;
    });
    attempt.leave();
    return code;
  }));
}

constexpr BatchJob kBatch{"squares"};
constexpr JobEntry kJobs[] = {
    {"count", "squares of numbers", Ranks::any, run_count, describe_options<CountOptions>, &kBatch}};

}  // namespace
}  // namespace switchyard

/// The program's own jobs, and one more.
int main(int argc, char** argv) {
  std::vector<switchyard::JobEntry> jobs(switchyard::jobs().begin(), switchyard::jobs().end());
  jobs.insert(jobs.end(), std::begin(switchyard::kJobs), std::end(switchyard::kJobs));
  return switchyard::run_program(jobs, argc, argv);
}
