#include "jobs/fisher/fisher_run.h"
#include "jobs/job.h"

namespace switchyard {

int run_fisher(Runtime& runtime, std::span<const std::string> args) {
  FisherOptions options;
  OptionSet set;
  options.describe(set);
  if (!parse_job_options(runtime, set, "fisher", args)) return 0;
  options.resolve(set);
  std::string config = resolved_config(set);  // of options, which go
  return FisherRun(runtime, std::move(options), std::move(config)).run();
}

}  // namespace switchyard
