// A sweep as its command line gives it, ready to run: locally, or through Slurm.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "jobs/job.h"
#include "jobs/option_groups.h"
#include "jobs/slurm/submit.h"
#include "jobs/sweep/stages.h"

namespace switchyard {

struct SweepOptions : RunOptions {
  std::string file;
  bool local = false;
  SubmitOptions submit;  ///< of its jobs

  void describe(OptionSet& o);
};

struct CollectOptions {
  std::string run;

  void describe(OptionSet& o);
};

class Sweep {
 public:
  /// Reads the file. Fails (usage) naming the file, the line and what is wrong. Without one: that of the sweep that the
  /// folder has (input).
  Sweep(SweepOptions options, std::span<const JobEntry> jobs);

  const SweepOptions& options() const { return options_; }
  const SweepFile& file() const { return file_; }
  const std::string& text() const { return text_; }  ///< of the file
  const SweepPoints& points() const { return *points_; }
  const JobEntry& training() const { return entry("train"); }

  /// The folder of a point, absolute.
  std::filesystem::path folder(int64_t point) const;
  std::vector<Stage> stages(int64_t point) const { return stages_of(file_, *points_, point, folder(point)); }
  std::vector<std::string> values_of(int64_t point) const;  ///< of the swept options, as text
  /// "freeze 0.9, seed 2": of the swept options.
  std::string name_of(int64_t point) const;

  /// What the manifest says it is, and its points as units of work: the file of one that is complete is what has been
  /// collected of it.
  Fingerprint fingerprint() const { return file_.fields(); }
  WorkUnits units() const;
  /// Fails as the points' trainings would (usage, input), as far as can be told beforehand: options without a meaning,
  /// files that are not there.
  void check() const;
  /// What a manifest says of it beside.
  Json manifest_info() const;
  /// The file, as sweep.cfg in the sweep's folder.
  void keep_file() const;
  /// A point's options and metrics as JSON: the file of a unit.
  Json collected(int64_t point) const;

 private:
  const JobEntry& entry(const std::string& job) const;
  std::filesystem::path kept_file() const;
  void check(const Stage& stage, const std::filesystem::path& folder, const std::filesystem::path& here,
             std::set<std::filesystem::path>& seen) const;

  SweepOptions options_;
  std::span<const JobEntry> jobs_;
  std::string text_;
  SweepFile file_;
  std::optional<SweepPoints> points_;
};

/// Runs the points that are not complete, one after the other, each stage in a process of its own.
int run_locally(Runtime& runtime, const Sweep& sweep, std::string resolved_config);

}  // namespace switchyard
