// `switchyard sweep FILE --run DIR [--local] [-- sbatch options]`: the points of a sweep, as many as are missing.
#include <algorithm>
#include <iostream>

#include "base/log.h"
#include "jobs/sweep/collector.h"
#include "jobs/sweep/slurm_sweep.h"

namespace switchyard {
namespace {

/// Returns false when help was asked for.
bool parse(const Runtime& runtime, std::span<const std::string> args, SweepOptions& options, Submission& request,
           std::string& config) {
  const auto separator = std::ranges::find(args, "--");
  OptionSet set;
  options.describe(set);
  if (!parse_job_options(runtime, set, "sweep", std::span(args.begin(), separator))) return false;
  request.options = options.submit;
  if (separator != args.end()) request.sbatch_options = SbatchOptions({separator + 1, args.end()});
  config = resolved_config(set);
  return true;
}

}  // namespace

int run_sweep(Runtime& runtime, std::span<const std::string> args) {
  SweepOptions options;
  Submission request;
  std::string config;
  if (!parse(runtime, args, options, request, config)) return 0;
  const Sweep sweep(std::move(options), runtime.jobs);
  log::set_quiet(sweep.options().quiet);
  log::info("sweep: {} points of {} swept options, {} run{} each", sweep.num_points(), sweep.file().swept.size(),
            1 + sweep.file().then.size(), sweep.file().then.empty() ? "" : "s");
  sweep.check(request);
  if (!sweep.options().local) return submit_sweep(sweep, request);
  if (!sweep.options().dry_run) return run_locally(runtime, sweep, std::move(config));
  for (int64_t point = 0; point < sweep.num_points(); ++point)
    std::cout << fmt::format("point {}: {}\n", point, sweep.name_of(point));
  return 0;
}

}  // namespace switchyard
