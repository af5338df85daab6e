#include "jobs/slurm/submit_wait.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/log.h"
#include "jobs/slurm/slurm_client.h"
#include "run/attempt_log.h"

namespace switchyard {
namespace {

/// Jobs as Slurm knew them last: some minutes after their end it forgets them.
class KnownJobs {
 public:
  void look_at(const std::string& id) {
    const std::vector<SlurmJob> now = find_jobs(id);
    has_ended_ = std::ranges::all_of(now, [](const SlurmJob& job) { return job.has_ended(); });
    for (const SlurmJob& job : now) jobs_[job.id] = job;
  }
  bool has_ended() const { return has_ended_; }
  const SlurmJob* find(const std::string& id) const {
    const auto found = jobs_.find(id);
    return found == jobs_.end() ? nullptr : &found->second;
  }

 private:
  std::map<std::string, SlurmJob> jobs_;
  bool has_ended_ = false;
};

struct End {
  int code = 0;
  std::string text;
};

/// Of a run whose state is this job's.
End end_of(const RunState& state, const RunDirectory& run) {
  const bool over = state.status == RunStatus::complete || state.status == RunStatus::failed;
  return {over ? state.exit_code : static_cast<int>(ExitCode::interrupted),
          fmt::format("is {}{}, {} of {} {}, {} rejects{}", name_of(state.status),
                      state.message.empty() ? "" : ": " + state.message, state.items_done, state.items_total,
                      state.items, state.rejects,
                      state.status == RunStatus::complete ? "; results: " + run.results_path().native() : "")};
}

/// Of a job that left no state: another's may be there.
End end_of(const SlurmJob& job, const RunDirectory& run) {
  if (job.signal == kNoOutput)
    return {
        static_cast<int>(ExitCode::environment),
        fmt::format("was not reached: {} could not open the log in it; is it on a file system that all nodes mount?",
                    job.nodes)};
  const std::string ended = fmt::format("was left by job {}: {}, exit code {}", job.id, job.state, job.exit_code);
  if (job.exit_code != 0) {
    const std::string logged = last_error(run.attempts_path() / fmt::format("{}.{}", job.number, job.restarts));
    const std::string& error = logged.empty() ? job.comment : logged;
    return {job.exit_code, error.empty() ? ended : ended + ": " + error};
  }
  return {static_cast<int>(job.state == "COMPLETED" ? ExitCode::complete : ExitCode::interrupted), ended};
}

/// The ids that one run's jobs have for Slurm.
std::vector<std::string> ids_of(const Submission& s, const std::vector<std::string>& ids, size_t i) {
  if (!s.is_array()) return ids;
  return {fmt::format("{}_{}", ids.front(), s.indices[i])};
}

/// Whether one of these jobs wrote the state. An array's task that Slurm no longer knows is taken to be the one.
bool is_of(const RunState& state, const std::vector<std::string>& ids, const KnownJobs& jobs, bool is_array) {
  return std::ranges::any_of(ids, [&](const std::string& id) {
    const SlurmJob* job = jobs.find(id);
    if (job == nullptr && is_array) return true;
    return state.attempt.starts_with((job == nullptr ? id : job->number) + ".");
  });
}

End end_of_run(const RunDirectory& run, const std::vector<std::string>& ids, const KnownJobs& jobs, bool is_array) {
  const std::optional<RunState> state = run.find_state();
  if (state && is_of(*state, ids, jobs, is_array)) return end_of(*state, run);
  for (const std::string& id : ids)
    if (const SlurmJob* job = jobs.find(id)) return end_of(*job, run);
  fail(ExitCode::environment, "job {} ended and left no state in {}; Slurm does not know it any more", ids.front(),
       run.root().native());
}

}  // namespace

int wait_for(const std::vector<std::string>& ids, const Submission& s) {
  constexpr int kTimes = 5;  // an answer may fail now and then, and an empty one looks like the end
  KnownJobs jobs;
  for (int ended = 0; ended < kTimes; ended = jobs.has_ended() ? ended + 1 : 0) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    jobs.look_at(ids.back());
  }
  for (const std::string& id : ids) jobs.look_at(id);
  int code = static_cast<int>(ExitCode::complete);
  for (size_t i = 0; i < s.num_runs(); ++i) {
    const RunDirectory run = s.run_directory(i);
    const End end = end_of_run(run, ids_of(s, ids, i), jobs, s.is_array());
    log::info("{} {}", run.root().native(), end.text);
    if (code == 0) code = end.code;
  }
  return code;
}

}  // namespace switchyard
