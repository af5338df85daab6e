// A scaling study: one job measured at several sizes, each several times, in random order, one at a time.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "jobs/job.h"
#include "jobs/slurm/submit.h"
#include "jobs/study/study.h"

namespace switchyard {

struct Submission;

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
  std::map<std::string, double> metrics_of(int64_t point) const override;
  Fingerprint fingerprint() const override { return definition_.fields(); }
  Json manifest_info() const override;
  void keep_file() const override;
  /// scaling.csv, scaling.json, extrap.txt, scaling.h5 and report.html.
  void collect() const override;

  /// Fails (usage, input) as the points would, as far as can be told beforehand.
  void check() const;

 private:
  std::filesystem::path kept_file() const { return root() / "study.json"; }

  RunOptions options_;
  ScaleDefinition definition_;
  std::span<const JobEntry> jobs_;
};

/// The study in tables (scale_table.cc): one line a point, and what repeated measurements of a size say together.
struct SizeSummary {
  ScalePoint point;             ///< of any of its repetitions
  std::vector<double> seconds;  ///< of the work, a repetition each
  std::vector<double> total;    ///< time to solution
  std::vector<double> tokens_per_second;
  int64_t failed = 0, missing = 0;  ///< repetitions without a measurement
  std::vector<int64_t> points;      ///< numbers of those that have one
};
/// In order of what is varied as well, then of size.
std::vector<SizeSummary> summaries(const ScaleStudy& study, const StudyTable& table);

/// Of strong scaling T₀/T, of weak scaling its rate over the first's; and that over the ranks' ratio. Against the first
/// of its value.
struct Scalability {
  double speedup = 1, efficiency = 1;
};
Scalability scalability(Scaling scaling, const SizeSummary& base, const SizeSummary& size);

/// Extra-P's text format: a parameter (ranks, or what is varied), a coordinate a size, metrics time and total, a line
/// of repetitions each. Sizes that lack a repetition are left out: Extra-P wants as many everywhere.
std::string to_extrap(const ScaleStudy& study, const std::vector<SizeSummary>& summaries);

/// A page for people.
std::string scale_report_html(const ScaleStudy& study, const StudyTable& table);

/// Whether all points that have a measurement and the same work have the same result bits; empty: there are no two.
std::optional<bool> results_agree(const ScaleStudy& study, const StudyTable& table);

/// Queues a job for every point that is missing, one after the other by --dependency=singleton, and one behind them
/// that collects.
int submit_scale(const ScaleStudy& study, const Submission& request, double max_node_hours);

}  // namespace switchyard
