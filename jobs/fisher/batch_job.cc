#include "jobs/fisher/batch_job.h"

#include <string>
#include <vector>

#include "jobs/batch/batch_checks.h"
#include "jobs/batch/job_needs.h"
#include "jobs/fisher/options.h"
#include "model/config/model_config.h"

namespace switchyard {
namespace {

/// With paths that hold here.
FisherOptions fisher_options(const JobArguments& arguments) {
  auto options = options_of<FisherOptions>(arguments, "fisher");
  settle({&options.model}, arguments.directory);
  settle({&options.delta, &options.data}, arguments.directory);
  return options;
}

std::vector<JobNeed> needs(const JobArguments& arguments) {
  require_read_again(arguments, "data");
  const FisherOptions options = fisher_options(arguments);
  std::vector<JobNeed> needs;
  add_needs_of_model(options.model, options.deltas(), options.allowed_fields(), needs);
  add_needs_of_data(options, "data", options.data, options.model, arguments, needs);
  return needs;
}

void check_run(const RunDirectory& run, const JobArguments& arguments, bool has_inputs) {
  const FisherOptions options = fisher_options(arguments);
  Fingerprint fields = options.fingerprint();
  if (has_inputs) {
    const ModelConfig config = read_model_config(options.model, options.allowed_fields());
    fields["config"] = config_hash(config).hex();
    if (const std::string hash = hash_of_data(options, options.data, config, kMostTokensRead); !hash.empty())
      fields["data"] = hash;
  }
  check_earlier_run(run, fields, arguments);
  tell_if_complete(run);
}

}  // namespace

const BatchJob kFisherBatchJob{"checkpoints", needs, check_expert_ranks, check_run};

}  // namespace switchyard
