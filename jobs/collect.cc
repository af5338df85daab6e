#include "jobs/collect.h"

#include "io/file.h"
#include "jobs/job.h"
#include "jobs/scale/scale_study.h"
#include "jobs/sweep/sweep.h"

namespace switchyard {
namespace {

/// "sweep", "scale": what the folder is of. Fails (input) where it is of neither.
std::string kind_of(const RunDirectory& run) {
  if (!run.has_manifest())
    fail(ExitCode::input, "{}: expected the folder of a sweep or a scaling study, found no manifest.json",
         run.root().native());
  const std::string kind = recorded_job(run.read_manifest());
  if (kind != "sweep" && kind != "scale")
    fail(ExitCode::input, "{}: expected the folder of a sweep or a scaling study, found one of {}", run.root().native(),
         kind.empty() ? "another job" : kind);
  return kind;
}

}  // namespace

void CollectOptions::describe(OptionSet& o) {
  o.group("What");
  o.add("run", &run, "DIR", "the folder of a sweep or a scaling study");
  o.positional("run");
  o.require("run");
}

int run_collect(Runtime& runtime, std::span<const std::string> args) {
  CollectOptions options;
  OptionSet set;
  options.describe(set);
  if (!parse_job_options(runtime, set, "collect", args)) return 0;
  if (kind_of(RunDirectory(options.run)) == "scale") {
    ScaleStudy(options.run, runtime.jobs).collect();
    return 0;
  }
  SweepOptions of_sweep;
  of_sweep.run = options.run;
  Sweep(std::move(of_sweep), runtime.jobs).collect();
  return 0;
}

}  // namespace switchyard
