#include "jobs/train/batch_job.h"

#include <string>
#include <vector>

#include "jobs/batch/batch_checks.h"
#include "jobs/batch/job_needs.h"
#include "jobs/train/options.h"
#include "model/config/model_config.h"
#include "train/fisher/fisher_file.h"

namespace switchyard {
namespace {

/// With paths that hold here.
TrainOptions train_options(const JobArguments& arguments) {
  auto options = options_of<TrainOptions>(arguments, "train");
  settle({&options.model, &options.init, &options.trains.fisher_new, &options.trains.fisher_old}, arguments.directory);
  settle({&options.delta, &options.data, &options.eval_data}, arguments.directory);
  return options;
}

std::vector<JobNeed> needs(const JobArguments& arguments) {
  for (const char* option : {"data", "eval-data"}) require_read_again(arguments, option);
  const TrainOptions options = train_options(arguments);
  const std::filesystem::path model = options.sources().model;
  std::vector<JobNeed> needs;
  if (options.init.empty())
    add_needs_of_model(model, options.deltas(), options.allowed_fields(), needs);
  else
    needs.push_back(need_of_config(options.init, options.allowed_fields()));
  add_needs_of_data(options, "data", options.data, model, arguments, needs);
  add_needs_of_data(options, "eval-data", options.eval_data, model, arguments, needs);
  const auto add_fisher_file = [&](const char* option, const std::string& path) {
    if (!path.empty()) needs.push_back({{path}, "Fisher " + path, [=] { FisherFile(option, path); }});
  };
  add_fisher_file("--fisher-new", options.trains.fisher_new);
  add_fisher_file("--fisher-old", options.trains.fisher_old);
  return needs;
}

void check_run(const RunDirectory& run, const JobArguments& arguments, bool has_inputs) {
  const TrainOptions options = train_options(arguments);
  Fingerprint fields = options.fingerprint();
  if (options.max_steps > 0) fields["steps"] = std::to_string(options.max_steps);
  if (options.slices > 0) fields["slices"] = std::to_string(options.slices);
  if (has_inputs) {
    const ModelConfig config = read_model_config(options.config_path(), options.allowed_fields());
    fields["config"] = config_hash(config).hex();
    if (const std::string hash = hash_of_data(options, options.data, config, kMostTokensRead); !hash.empty())
      fields["data"] = hash;
    if (!options.eval_data.empty())
      if (const std::string hash = hash_of_data(options, options.eval_data, config, kMostTokensRead); !hash.empty())
        fields["eval_data"] = hash;
  }
  check_earlier_run(run, fields, arguments);
  tell_if_complete(run);
}

}  // namespace

const BatchJob kTrainBatchJob{"checkpoints", needs, check_expert_ranks, check_run};

}  // namespace switchyard
