// A sweep as its command line gives it, ready to run: locally, or through Slurm.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "jobs/job.h"
#include "jobs/slurm/submission.h"
#include "jobs/slurm/submit.h"
#include "jobs/study/study.h"
#include "jobs/sweep/stages.h"

namespace switchyard {

struct SweepOptions : RunOptions {
  std::string file;
  bool local = false;
  SubmitOptions submit;  ///< of its jobs

  void describe(OptionSet& o);
};

class Sweep final : public Study {
 public:
  /// Reads the file. Fails (usage) naming the file, the line and what is wrong. Without one: that of the sweep that the
  /// folder has (input).
  Sweep(SweepOptions options, std::span<const JobEntry> jobs);

  const SweepOptions& options() const override { return options_; }
  const SweepFile& file() const { return file_; }
  const JobEntry& training() const { return entry("train"); }

  int64_t num_points() const override { return points_->count(); }
  std::vector<std::string> swept() const override;
  std::vector<std::string> values_of(int64_t point) const override;
  std::vector<Stage> stages(int64_t point) const override { return stages_of(file_, *points_, point, folder(point)); }
  std::vector<std::string> local_command(int64_t point, const Stage& stage,
                                         const std::filesystem::path& config) const override;
  std::map<std::string, double> metrics_of(int64_t point) const override;
  Fingerprint fingerprint() const override { return file_.fields(); }
  Json manifest_info() const override;
  void keep_file() const override;
  void collect() const override;

  /// Fails as the points' runs would (usage, input), as far as can be told beforehand: options without a meaning, files
  /// that are not there or not what they should be, a metric that no point will have. request: to Slurm, which says
  /// where the runs start and whether others make what they read.
  void check(const Submission& request) const;

 private:
  const JobEntry& entry(const std::string& job) const;
  std::filesystem::path kept_file() const;
  std::vector<JobNeed> needs_of(const Stage& stage, const std::filesystem::path& folder,
                                const std::filesystem::path& here) const;

  SweepOptions options_;
  std::span<const JobEntry> jobs_;
  std::string text_;
  SweepFile file_;
  std::optional<SweepPoints> points_;
};

}  // namespace switchyard
