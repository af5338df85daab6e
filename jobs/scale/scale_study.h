// A scaling study: one job measured at several sizes, each several times, in random order, one at a time.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "jobs/job.h"
#include "jobs/slurm/submission.h"
#include "jobs/study/study.h"

namespace switchyard {

enum class Scaling : uint8_t {
  strong,  ///< every point has the same work
  weak     ///< every rank has the same work
};
std::string_view name_of(Scaling scaling);

/// What a study is; two that agree in this are one and the same.
struct ScaleDefinition {
  std::string job = {};  ///< "score", "train"
  Scaling scaling = Scaling::strong;
  bool local = false;
  std::vector<int64_t> sizes;       ///< nodes, or of a local study ranks; ascending
  int64_t tasks_per_node = 1;       ///< through Slurm
  std::string over;                 ///< an option that is varied as well; empty: none
  std::vector<std::string> values;  ///< of it
  int64_t repetitions = 1;
  std::map<std::string, OptionValues> options;  ///< of the job, without --run

  Fingerprint fields() const;
  Json to_json() const;
  /// Fails (input) naming `subject` and the field.
  static ScaleDefinition from_json(const Json& json, std::string_view subject);
};

/// One measurement.
struct ScalePoint {
  int64_t size = 1;  ///< nodes, or of a local study ranks
  int64_t ranks = 1;
  std::string value;  ///< of what is varied as well
  int64_t repetition = 0;
};

class ScaleStudy final : public Study {
 public:
  /// options: where it is, and how it is kept.
  ScaleStudy(RunOptions options, ScaleDefinition definition, std::span<const JobEntry> jobs);
  /// The one that the folder has (study.json). Fails (input).
  ScaleStudy(const std::filesystem::path& folder, std::span<const JobEntry> jobs);

  const RunOptions& options() const override { return options_; }
  const ScaleDefinition& definition() const { return definition_; }
  const JobEntry& entry() const;
  ScalePoint point(int64_t number) const;

  int64_t num_points() const override;
  std::vector<std::string> swept() const override;
  std::vector<std::string> values_of(int64_t point) const override;
  std::vector<Stage> stages(int64_t point) const override;
  std::vector<std::string> local_command(int64_t point, const Stage& stage,
                                         const std::filesystem::path& config) const override;
  /// A point is measured in one sitting: what an attempt has left that did not come to its end is removed.
  void prepare(int64_t point) const override;
  bool is_done(const Stage& stage) const override;
  std::map<std::string, double> metrics_of(int64_t point) const override;
  Fingerprint fingerprint() const override { return definition_.fields(); }
  Json manifest_info() const override;
  void keep_file() const override;
  /// scaling.csv, scaling.json, extrap.txt, scaling.h5 and report.html.
  void collect() const override;

  /// Fails (usage, input) as the points would, as far as can be told beforehand. request: to Slurm, which says where
  /// they start and whether others make what they read.
  void check(const Submission& request) const;

 private:
  std::filesystem::path kept_file() const { return root() / "study.json"; }
  void require_same_text() const;

  RunOptions options_;
  ScaleDefinition definition_;
  std::span<const JobEntry> jobs_;
};

}  // namespace switchyard
