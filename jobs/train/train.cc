#include "jobs/job.h"
#include "jobs/train/train_run.h"

namespace switchyard {

int run_train(Runtime& runtime, std::span<const std::string> args) {
  TrainOptions options;
  OptionSet set;
  options.describe(set);
  if (!parse_job_options(runtime, set, "train", args)) return 0;
  options.resolve(set);
  std::string config = resolved_config(set);  // of options, which go
  return TrainRun(runtime, std::move(options), std::move(config)).run();
}

}  // namespace switchyard
