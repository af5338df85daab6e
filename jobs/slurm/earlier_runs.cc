#include "jobs/slurm/earlier_runs.h"

#include <algorithm>
#include <set>

#include "base/log.h"
#include "jobs/slurm/slurm_client.h"
#include "jobs/slurm/submissions.h"
#include "run/lease.h"

namespace switchyard {
namespace {

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
  if (s.entry->batch->check_run == nullptr) return;
  for (const size_t i : s.runs_to_check())
    if (const RunDirectory run = s.run_directory(i); run.has_manifest())
      s.entry->batch->check_run(run, s.arguments_of(i), !s.waits_for_others());
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
