// `switchyard score`: log-probabilities of the records of an input under a model.
#include "jobs/job.h"
#include "jobs/score/options.h"
#include "jobs/score/score_run.h"

namespace switchyard {

int run_score(Runtime& runtime, std::span<const std::string> args) {
  ScoreOptions options;
  OptionSet set;
  options.describe(set);
  if (!parse_job_options(runtime, set, "score", args)) return 0;
  options.resolve(set);
  return ScoreRun(runtime, options, resolved_config(set)).run();
}

}  // namespace switchyard
