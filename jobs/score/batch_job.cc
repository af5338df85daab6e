#include "jobs/score/batch_job.h"

#include <set>

#include "base/log.h"
#include "import/import_file.h"
#include "io/file.h"
#include "jobs/batch/batch_checks.h"
#include "jobs/batch/job_needs.h"
#include "jobs/input/sample.h"
#include "jobs/score/options.h"
#include "jobs/score/plan.h"
#include "jobs/score/quantiles.h"
#include "jobs/score/recorded_input.h"
#include "model/config/model_config.h"

namespace switchyard {
namespace {

constexpr uint64_t kMostBytesRead = uint64_t{4} << 30;

/// As they were given: paths are where the job starts.
ScoreOptions given_options(const JobArguments& arguments) {
  return options_of<ScoreOptions>(arguments, "score");
}

/// A run that has a manifest, and what is submitted for it.
class EarlierRun {
 public:
  EarlierRun(const RunDirectory& run, const JobArguments& arguments, bool has_inputs)
      : arguments_(arguments),
        has_inputs_(has_inputs),
        run_(run),
        subject_(run_.manifest_path().native()),
        manifest_(run_.read_manifest()) {}

  void check() const {
    check_earlier_run(run_, fields(), arguments_);
    if (const auto sources = given_options(arguments_).text_sources(); has_inputs_ && !sources.empty())
      check_sources(sources);
    else if (has_inputs_)
      check_input(ScoringInput(arguments_.path_of("input")), given_options(arguments_).sample_tokens);
    tell_if_complete(run_);
  }

 private:
  Fingerprint fields() const {
    Fingerprint f;
    f["with_text"] = arguments_.value_of("with-text").value_or("false");
    f["per_token"] = f["with_text"] == "true" ? "true" : arguments_.value_of("per-token").value_or("false");
    f["embed"] = arguments_.value_of("embed").value_or("none");
    if (const auto levels = arguments_.value_of("quantiles"); levels && !levels->empty())
      f["quantiles"] = levels_text(parse_levels(*levels));
    if (const auto chunk_records = arguments_.value_of("chunk-records"); chunk_records && *chunk_records != "0")
      f["chunk_records"] = *chunk_records;
    if (!has_inputs_) return f;
    const std::vector<std::string> names = arguments_.values_of("allow-config-field");
    const std::set<std::string> allowed(names.begin(), names.end());
    f["config"] = config_hash(read_model_config(arguments_.path_of("model"), allowed)).hex();
    return f;
  }

  void check_input(const ScoringInput& input, int64_t sample_tokens) const {
    if (sample_tokens > 0) {
      if (file_exists(run_.input_path())) require_same_sample(input, sample_tokens, run_.input_path());
      return;  // the job takes it again, and compares
    }
    const RecordedInput recorded = recorded_input(manifest_, subject_);
    if (input.num_records() != recorded.num_records)
      run_differs(subject_, "input", fmt::format("{} records", recorded.num_records),
                  fmt::format("{}: {}", arguments_.path_of("input").native(), input.num_records()));
    if (input.num_tokens() > kMostTokensRead) {
      log::info("{}: whether it holds what the run began with is unknown until the job reads it",
                arguments_.path_of("input").native());
    } else {
      const auto self = make_self_communicator();
      require_same_input(recorded, identify_input(*self, input, recorded.chunk_records, recorded.max_positions),
                         arguments_.path_of("input"));
    }
    // Of another input it would differ as well, and hide why.
    if (arguments_.value_of("chunk-records").value_or("0") == "0")
      run_.check_manifest(
          {{"chunk_records", std::to_string(default_chunk_records(input.num_records(), input.num_tokens()))}});
  }

  /// Of text that was imported: by its bytes alone, how they are read is left to the job.
  void check_sources(const std::vector<SourceFile>& sources) const {
    if (!file_exists(run_.input_path())) return;
    const auto imported = imported_from(ScoringInput(run_.input_path()));
    uint64_t bytes = 0;
    std::vector<SourceFile> from_here = sources;
    for (SourceFile& source : from_here) {
      source.path = (arguments_.directory / source.path).native();
      bytes += InputFile(source.path).size();
    }
    if (!imported || bytes > kMostBytesRead) return;
    ImportIdentity now = imported->identity;
    now.sources = identify_sources(from_here, {});
    const std::vector<std::string> names = names_of(sources);
    for (size_t i = 0; i < names.size(); ++i) now.sources[i].name = names[i];
    if (const std::string what = difference(imported->identity, now); !what.empty())
      fail(ExitCode::mismatch, "{}: the run's input was imported otherwise: {}", run_.input_path().native(), what);
  }

  const JobArguments& arguments_;
  const bool has_inputs_;
  const RunDirectory& run_;
  const std::string subject_;
  const Json manifest_;
};

std::vector<JobNeed> needs(const JobArguments& arguments) {
  require_read_again(arguments, "input");
  ScoreOptions options = given_options(arguments);
  options.text_sources();  // or it fails
  settle({&options.model}, arguments.directory);
  settle({&options.delta, &options.input}, arguments.directory);
  std::vector<JobNeed> needs;
  add_needs_of_model(options.model, options.deltas(), options.allowed_fields(), needs);
  add_needs_of_data(options, "input", options.input, options.model, arguments, needs);
  return needs;
}

void check_run(const RunDirectory& run, const JobArguments& arguments, bool has_inputs) {
  EarlierRun(run, arguments, has_inputs).check();
}

}  // namespace

const BatchJob kScoreBatchJob{"shards", needs, check_expert_ranks, check_run};

}  // namespace switchyard
