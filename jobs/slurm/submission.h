// What a command line of `switchyard submit` says, taken apart.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "jobs/job.h"
#include "jobs/slurm/batch_script.h"
#include "jobs/slurm/sbatch_options.h"
#include "jobs/slurm/submit.h"
#include "run/run_directory.h"

namespace switchyard {

struct Submission {
  SubmitOptions options;
  const JobEntry* entry = nullptr;
  std::string run;
  std::vector<std::string> arguments;                                       ///< of the job, all values resolved
  std::map<std::string, std::vector<std::string>> values;                   ///< the same by option
  std::vector<std::map<std::string, std::vector<std::string>>> own_values;  ///< of each run, where they are not alike
  std::vector<BatchRun> then;                                               ///< what follows each run
  std::map<std::filesystem::path, std::string> files;                       ///< to be written before
  std::filesystem::path script;                                             ///< empty: in the first run directory
  SbatchOptions sbatch_options;                                             ///< after "--"
  std::vector<int64_t> indices;  ///< of an array, as they stand in paths; there may be millions
  int64_t first_index = 0;       ///< that is 0 to Slurm
  bool requeues = true;          ///< false: what is stopped or lost stays so, for its time is what is wanted of it

  bool is_array() const { return !options.array.empty(); }
  size_t num_runs() const { return is_array() ? indices.size() : 1; }
  /// The job's options as its i-th run has them.
  JobArguments arguments_of(size_t i) const;
  /// A path of the job's, likewise.
  std::string path_of(const std::string& path, size_t i) const;
  /// The first has the script.
  RunDirectory run_directory(size_t i) const { return RunDirectory(path_of(run, i)); }
  /// The runs that are looked at one by one: of very many the first and the last.
  std::vector<size_t> runs_to_check() const;

  /// Where the job starts, and relative paths with it.
  std::filesystem::path start_directory() const;
  /// Another job may yet make what this one reads.
  bool waits_for_others() const { return sbatch_options.has(kDependency); }
  /// What the command line, the site file or the words after "--" say of where the job runs.
  std::set<std::string> chosen_options() const;
  /// Slurm's answers here are not about the cluster that the job goes to.
  bool goes_elsewhere() const;
};

/// What the job asks Slurm for, whether by submit's options or after "--". Empty: it cannot be told.
struct JobShape {
  std::optional<int64_t> nodes, ranks, cores_per_rank, gpus_per_node;
  bool overcommits = false;  ///< ranks may share cores
  std::string partition;     ///< empty: the cluster's default
  std::string time;          ///< empty: the partition's default
};
JobShape shape_of(const Submission& s);

/// Cores that a node must have for its share of the ranks, at least; all nodes together.
int64_t least_cores_per_node(const JobShape& shape);
int64_t total_cores(const JobShape& shape);

}  // namespace switchyard
