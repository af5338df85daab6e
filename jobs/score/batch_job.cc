#include "jobs/score/batch_job.h"

#include <set>
#include <sstream>

#include "base/log.h"
#include "jobs/numerics.h"
#include "jobs/score/input_identity.h"
#include "jobs/score/plan.h"
#include "model/config.h"

namespace switchyard {
namespace {

constexpr int64_t kMostTokensRead = int64_t{1} << 29;  // a login host's disk should not be busy for minutes

/// A run that has a manifest, and what is submitted for it.
class EarlierRun {
 public:
  EarlierRun(const RunDirectory& run, const JobArguments& arguments, bool has_inputs)
      : arguments_(arguments),
        has_inputs_(has_inputs),
        run_(run),
        subject_(run_.manifest_path().native()),
        manifest_(run_.read_manifest()),
        info_(manifest_["info"]) {}

  void check() const {
    run_.check_manifest(fields());
    check_numerics();
    if (has_inputs_) check_input(ScoringInput(arguments_.path_of("input")));
    const std::optional<RunState> state = run_.find_state();
    if (state && state->status == RunStatus::complete)
      log::info("{} is complete already: the job will find nothing left to do", run_.root().native());
  }

 private:
  Fingerprint fields() const {
    Fingerprint f;
    f["per_token"] = arguments_.value_of("per-token").value_or("false");
    f["embed"] = arguments_.value_of("embed").value_or("none");
    if (const auto chunk_records = arguments_.value_of("chunk-records"); chunk_records && *chunk_records != "0")
      f["chunk_records"] = *chunk_records;
    if (!has_inputs_) return f;
    std::istringstream words(arguments_.value_of("allow-config-field").value_or(""));
    std::set<std::string> allowed;
    for (std::string name; std::getline(words, name, ',');) allowed.insert(name);
    f["config"] = config_hash(read_model_config(arguments_.path_of("model"), allowed)).hex();
    return f;
  }

  void check_numerics() const {
    for (const auto& [option, field] : {std::pair("dtype", "dtype"), {"device", "device"}, {"cpu-isa", "cpu_isa"}}) {
      const auto given = arguments_.value_of(option);
      if (option == std::string_view("cpu-isa") && require_string(info_, "device", subject_) != "cpu") continue;
      const std::string there = require_string(info_, field, subject_);
      if (given && *given != "auto" && *given != there) differs(fmt::format("--{}", option), there, *given);
    }
    const std::string id = require_string(manifest_["fingerprint"], "numerics", subject_),
                      own = numerics_id(DType::f32);
    const auto revision = [](const std::string& numerics) { return numerics.substr(0, numerics.find('/')); };
    if (revision(id) != revision(own)) differs("numerics", id, own);
  }

  void check_input(const ScoringInput& input) const {
    const RecordedInput recorded = recorded_input(manifest_, subject_);
    if (input.num_records() != recorded.num_records)
      differs("input", fmt::format("{} records", recorded.num_records),
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
      run_.check_manifest({{"chunk_records", std::to_string(default_chunk_records(input))}});
  }

  [[noreturn]] void differs(const std::string& what, const std::string& there, const std::string& here) const {
    fail(ExitCode::mismatch, "{}: the run directory belongs to other work: {}: the run has {}, this command {}",
         subject_, what, there, here);
  }

  const JobArguments& arguments_;
  const bool has_inputs_;
  const RunDirectory& run_;
  const std::string subject_;
  const Json manifest_;
  const Json& info_;
};

std::vector<std::filesystem::path> files(const JobArguments& arguments) {
  return {arguments.path_of("model") / "config.json", arguments.path_of("input")};
}

void check_ranks(const JobArguments& arguments, int64_t ranks) {
  const auto ep = arguments.value_of("ep");
  if (!ep || *ep == "0" || ranks % std::stoll(*ep) == 0) return;
  fail(ExitCode::usage, "submit: --ep {} does not divide the {} ranks that are asked for (nodes × tasks per node)", *ep,
       ranks);
}

void check_run(const RunDirectory& run, const JobArguments& arguments, bool has_inputs) {
  EarlierRun(run, arguments, has_inputs).check();
}

}  // namespace

const BatchJob kScoreBatchJob{"shards", files, check_ranks, check_run};

}  // namespace switchyard
