#include "jobs/train/batch_job.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/log.h"
#include "io/file.h"
#include "jobs/batch_checks.h"
#include "jobs/train/options.h"
#include "model/config/model_config.h"

namespace switchyard {
namespace {

/// The job's own options, with paths that hold here. Fails (usage, environment) as the job would.
TrainOptions options_of(const JobArguments& arguments) {
  std::vector<std::string> words;
  for (const auto& [option, values] : arguments.values)
    for (const std::string& value : values) words.push_back("--" + option + "=" + value);
  TrainOptions options;
  OptionSet set;
  options.describe(set);
  parse_options(set, "train", words, {});
  options.resolve(set);
  const auto settle = [&](std::string& path) {
    if (!path.empty()) path = (arguments.directory / path).native();
  };
  settle(options.model);
  settle(options.init);
  settle(options.trains.fisher_new);
  settle(options.trains.fisher_old);
  std::ranges::for_each(options.delta, settle);
  std::ranges::for_each(options.data, settle);
  std::ranges::for_each(options.eval_data, settle);
  return options;
}

std::vector<std::filesystem::path> files(const JobArguments& arguments) {
  for (const char* option : {"data", "eval-data"}) require_read_again(arguments, option);
  const TrainOptions options = options_of(arguments);
  std::error_code ignored;
  std::filesystem::path config = options.config_path();
  if (options.init.empty() || std::filesystem::is_directory(config, ignored)) config /= "config.json";
  std::vector<std::filesystem::path> files = {config};
  for (const auto& paths : {options.delta, options.data, options.eval_data})
    files.insert(files.end(), paths.begin(), paths.end());
  for (const std::string& path : {options.trains.fisher_new, options.trains.fisher_old})
    if (!path.empty()) files.emplace_back(path);
  return files;
}

void check_run(const RunDirectory& run, const JobArguments& arguments, bool has_inputs) {
  const TrainOptions options = options_of(arguments);
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
  run.check_manifest(fields);
  check_numerics(run.read_manifest(), run.manifest_path().native(), arguments);
  const std::optional<RunState> state = run.find_state();
  if (state && state->status == RunStatus::complete)
    log::info("{} is complete already: the job will find nothing left to do", run.root().native());
}

}  // namespace

const BatchJob kTrainBatchJob{"checkpoints", files, check_expert_ranks, check_run};

}  // namespace switchyard
