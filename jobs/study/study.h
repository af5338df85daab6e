// Many runs as one: a sweep, a scaling study. What they have in common: a folder that is a run directory, whose units
// are points, each of one run or of several; points that are complete are not run again; and a collector that tells at
// any time what there is.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "jobs/job.h"
#include "jobs/options/option_groups.h"
#include "jobs/study/study_table.h"

namespace switchyard {

/// What an option is given: a value, or of one that is a list several.
using OptionValues = std::vector<std::string>;

/// A run of a point, in a folder of its own.
struct Stage {
  std::string job, name;      ///< "score", "old"
  std::filesystem::path run;  ///< the run directory
  std::map<std::string, OptionValues> options;

  /// Lines of a --config file, the run directory among them.
  std::string config() const;
  /// What does it again.
  std::string command() const;
};

/// A command line for a person, of a job's options.
std::string command_text(const std::string& job, const std::map<std::string, OptionValues>& options);

bool is_complete(const Stage& stage);
/// Whether it is complete with more rejects than it may have.
bool has_too_many_rejects(const Stage& stage);

class Study {
 public:
  virtual ~Study() = default;
  Study(const Study&) = delete;
  Study& operator=(const Study&) = delete;

  virtual const RunOptions& options() const = 0;
  std::filesystem::path root() const { return options().run; }
  /// The folder of a point.
  std::filesystem::path folder(int64_t point) const { return root() / "points" / std::to_string(point); }

  virtual int64_t num_points() const = 0;
  /// Names of the options that differ between points, and a point's values, as text.
  virtual std::vector<std::string> swept() const = 0;
  virtual std::vector<std::string> values_of(int64_t point) const = 0;
  /// "freeze 0.9, seed 2".
  std::string name_of(int64_t point) const;
  /// In the order in which they run.
  virtual std::vector<Stage> stages(int64_t point) const = 0;
  /// What runs a stage on this machine, whose --config file is there.
  virtual std::vector<std::string> local_command(int64_t point, const Stage& stage,
                                                 const std::filesystem::path& config) const = 0;
  /// Called before a point is run (again).
  virtual void prepare(int64_t /*point*/) const {}
  /// Whether a stage need not be run (again).
  virtual bool is_done(const Stage& stage) const { return is_complete(stage); }
  /// Of a point whose stages are complete.
  virtual std::map<std::string, double> metrics_of(int64_t point) const = 0;

  /// What the manifest says it is, and what beside.
  virtual Fingerprint fingerprint() const = 0;
  virtual Json manifest_info() const = 0;
  /// What it is, as a file in its folder, from which it can be made again.
  virtual void keep_file() const = 0;
  /// The table's files, and a page for people.
  virtual void collect() const = 0;

  /// Points as units of work: the file of one that is complete is what has been collected of it.
  WorkUnits units() const;
  /// Takes the folder for this study, or fails (mismatch) where it is another's.
  void begin() const;

 protected:
  Study() = default;
};

/// Every point: of those that are complete the metrics, of others how they stand and why. Asks Slurm about runs that it
/// has in hand.
StudyTable gather(const Study& study);

/// Points that are not complete, without those that Slurm has in hand.
struct MissingPoints {
  explicit MissingPoints(const Study& study);

  std::vector<int64_t> points;
  int64_t complete = 0, in_hand = 0;
};

/// Runs the points that are not complete, one after the other, each stage in a process of its own. Its exit code: that
/// of the first point that failed, if one did.
int run_locally(Runtime& runtime, const Study& study, std::string resolved_config);

}  // namespace switchyard
