// A Slurm cluster of several nodes on this machine (slurm/testcluster), and runs on it.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "io/json.h"
#include "tests/support/process.h"

namespace switchyard::test {

using Words = std::vector<std::string>;

class Cluster {
 public:
  /// Brings it up. `problem()` says why not, when the machine lacks packages or rights.
  Cluster();
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  const std::string& problem() const { return problem_; }
  bool has_namespaces() const { return has_namespaces_; }

  /// slurm/testcluster COMMAND …
  ProcessResult control(const Words& command) const;
  /// A command on the login host, or on a node.
  ProcessResult exec(const Words& command, const std::string& node = "") const;
  /// The same, which must succeed; its output without the last line feed.
  std::string output_of(const Words& command) const;

  /// {state, reason, nodes, restarts …} of a job as `scontrol show job` has them.
  std::string job_field(const std::string& job, const std::string& field) const;
  /// Process numbers of a job's ranks on this machine, by rank.
  std::vector<int> rank_pids(const std::string& job, int ranks) const;

 private:
  std::string problem_;
  bool has_namespaces_ = false;
};

/// A run directory that jobs are submitted for.
class ClusterRun {
 public:
  ClusterRun(const Cluster& cluster, std::filesystem::path path) : cluster_(cluster), path_(std::move(path)) {}

  const std::filesystem::path& path() const { return path_; }
  /// `switchyard submit JOB …`; returns the job's id.
  std::string submit_job(const Words& job_and_options, const Words& sbatch_options = {}) const;
  std::string submit(const Words& score_options, const Words& sbatch_options = {}) const;  ///< score, the bundled model
  Json status() const;  ///< of `switchyard status --json`
  std::string state() const { return status().at("state").get<std::string>(); }
  int shards() const;
  std::string file(const std::string& name) const;  ///< empty if there is none

 private:
  const Cluster& cluster_;
  std::filesystem::path path_;
};

/// Which tests this process runs, from --gtest_filter; it names the cluster and the folder of runs.
std::string test_part();

/// Polls until `condition` holds; false after `timeout`.
bool within(std::chrono::seconds timeout, const std::function<bool()>& condition);

}  // namespace switchyard::test
