#include "jobs/fisher/batch_job.h"

#include <string>
#include <vector>

#include "base/log.h"
#include "jobs/batch_checks.h"
#include "jobs/fisher/options.h"
#include "model/config/model_config.h"

namespace switchyard {
namespace {

/// The job's own options, with paths that hold here. Fails (usage, environment) as the job would.
FisherOptions options_of(const JobArguments& arguments) {
  std::vector<std::string> words;
  for (const auto& [option, values] : arguments.values)
    for (const std::string& value : values) words.push_back("--" + option + "=" + value);
  FisherOptions options;
  OptionSet set;
  options.describe(set);
  parse_options(set, "fisher", words, {});
  options.resolve(set);
  options.model = (arguments.directory / options.model).native();
  for (std::vector<std::string>* paths : {&options.delta, &options.data})
    for (std::string& path : *paths) path = (arguments.directory / path).native();
  return options;
}

std::vector<std::filesystem::path> files(const JobArguments& arguments) {
  require_read_again(arguments, "data");
  const FisherOptions options = options_of(arguments);
  std::vector<std::filesystem::path> files = {std::filesystem::path(options.model) / "config.json"};
  for (const auto& paths : {options.delta, options.data}) files.insert(files.end(), paths.begin(), paths.end());
  return files;
}

void check_run(const RunDirectory& run, const JobArguments& arguments, bool has_inputs) {
  const FisherOptions options = options_of(arguments);
  Fingerprint fields = options.fingerprint();
  if (has_inputs) {
    const ModelConfig config = read_model_config(options.model, options.allowed_fields());
    fields["config"] = config_hash(config).hex();
    if (const std::string hash = hash_of_data(options, options.data, config, kMostTokensRead); !hash.empty())
      fields["data"] = hash;
  }
  run.check_manifest(fields);
  check_numerics(run.read_manifest(), run.manifest_path().native(), arguments);
  const std::optional<RunState> state = run.find_state();
  if (state && state->status == RunStatus::complete)
    log::info("{} is complete already: the job will find nothing left to do", run.root().native());
}

}  // namespace

const BatchJob kFisherBatchJob{"checkpoints", files, check_expert_ranks, check_run};

}  // namespace switchyard
