#include "jobs/slurm/earlier_runs.h"

#include <algorithm>
#include <set>
#include <sstream>

#include "base/log.h"
#include "jobs/numerics.h"
#include "jobs/score/input_identity.h"
#include "jobs/score/plan.h"
#include "jobs/slurm/slurm_client.h"
#include "jobs/slurm/submissions.h"
#include "model/config.h"
#include "run/lease.h"

namespace switchyard {
namespace {

constexpr int64_t kMostTokensRead = int64_t{1} << 29;  // a login host's disk should not be busy for minutes

/// One run that has a manifest, and what is submitted for it.
class EarlierRun {
 public:
  EarlierRun(const Submission& s, size_t i)
      : s_(s),
        i_(i),
        run_(s.run_directory(i)),
        subject_(run_.manifest_path().native()),
        manifest_(run_.read_manifest()),
        info_(manifest_["info"]) {}

  void check() const {
    run_.check_manifest(fields());
    check_numerics();
    if (!s_.waits_for_others()) check_input(ScoringInput(file("input")));
    const std::optional<RunState> state = run_.find_state();
    if (state && state->status == RunStatus::complete)
      log::info("{} is complete already: the job will find nothing left to do", run_.root().native());
  }

 private:
  std::filesystem::path file(const std::string& option) const {
    return s_.start_directory() / s_.path_of(s_.value_of(option).value_or(""), i_);
  }

  Fingerprint fields() const {
    Fingerprint f;
    f["per_token"] = s_.value_of("per-token").value_or("false");
    f["embed"] = s_.value_of("embed").value_or("none");
    if (const auto chunk_records = s_.value_of("chunk-records"); chunk_records && *chunk_records != "0")
      f["chunk_records"] = *chunk_records;
    if (s_.waits_for_others()) return f;
    std::istringstream words(s_.value_of("allow-config-field").value_or(""));
    std::set<std::string> allowed;
    for (std::string name; std::getline(words, name, ',');) allowed.insert(name);
    f["config"] = config_hash(read_model_config(file("model"), allowed)).hex();
    return f;
  }

  void check_numerics() const {
    for (const auto& [option, field] : {std::pair("dtype", "dtype"), {"device", "device"}, {"cpu-isa", "cpu_isa"}}) {
      const auto given = s_.value_of(option);
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
              fmt::format("{}: {}", file("input").native(), input.num_records()));
    if (input.num_tokens() > kMostTokensRead) {
      log::info("{}: whether it holds what the run began with is unknown until the job reads it",
                file("input").native());
    } else {
      const auto self = make_self_communicator();
      require_same_input(recorded, identify_input(*self, input, recorded.chunk_records, recorded.max_positions),
                         file("input"));
    }
    // Of another input it would differ as well, and hide why.
    if (s_.value_of("chunk-records").value_or("0") == "0")
      run_.check_manifest({{"chunk_records", std::to_string(default_chunk_records(input))}});
  }

  [[noreturn]] void differs(const std::string& what, const std::string& there, const std::string& here) const {
    fail(ExitCode::mismatch, "{}: the run directory belongs to other work: {}: the run has {}, this command {}",
         subject_, what, there, here);
  }

  const Submission& s_;
  const size_t i_;
  const RunDirectory run_;
  const std::string subject_;
  const Json manifest_;
  const Json& info_;
};

/// Whether the holder is a process that could be seen from here to be gone.
bool is_of_this_host(const LeaseHolder& holder) {
  const LeaseHolder self = LeaseHolder::self();
  return holder.host == self.host && holder.boot_id == self.boot_id && holder.pid_namespace == self.pid_namespace;
}

/// What no job holds nobody can be queued behind.
void check_process(const LeaseHolder& holder, const RunDirectory& run) {
  if (is_gone(holder)) return;
  if (is_of_this_host(holder))
    fail(ExitCode::mismatch, "run directory {} is in use by {}: wait for its end, or submit with --no-dependency",
         run.root().native(), holder.describe());
  log::info("run directory {} has a lease of {}: whether that lives is unknown until the job watches it",
            run.root().native(), holder.describe());
}

}  // namespace

void check_earlier_runs(const Submission& s) {
  for (const size_t i : s.runs_to_check())
    if (s.run_directory(i).has_manifest()) EarlierRun(s, i).check();
}

std::vector<std::string> jobs_at_work(const Submission& s) {
  std::set<std::string> candidates;
  for (const size_t i : s.runs_to_check()) {
    const RunDirectory run = s.run_directory(i);
    for (const std::string& id : last_submission(run))
      candidates.insert(s.is_array() ? id.substr(0, id.find('_')) : id);  // a thousand tasks by one name
    const auto holder = read_lease_holder(run.lease_path());
    if (!holder) continue;
    if (holder->job.empty()) {
      check_process(*holder, run);
    } else {
      candidates.insert(holder->job);
    }
  }
  std::vector<std::string> ids;
  if (s.goes_elsewhere()) return ids;
  for (const std::string& id : candidates) {
    const std::vector<SlurmJob> tasks = find_jobs(id);
    if (std::ranges::any_of(tasks, [](const SlurmJob& task) { return !task.has_ended(); })) ids.push_back(id);
  }
  return ids;
}

}  // namespace switchyard
