// A study in tables: what its points say together, for files, other programs and a page.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "jobs/scale/scale_study.h"

namespace switchyard {

/// What repeated measurements of a size say together.
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

/// Extra-P's text format: parameters ranks and what is varied, where that is a number; regions work and total, where it
/// is none for each of its values. A line of repetitions for every size; those that lack one are left out, for Extra-P
/// wants as many everywhere.
std::string to_extrap(const ScaleStudy& study, const std::vector<SizeSummary>& summaries);

/// Hashes of what the points have made that have a measurement, by their numbers. Reads all of it.
using ResultHashes = std::map<int64_t, std::string>;
ResultHashes result_hashes(const ScaleStudy& study, const StudyTable& table);
/// Whether all of these with the same work have the same result bits; empty: there are no two.
std::optional<bool> results_agree(const ScaleStudy& study, const ResultHashes& results);

/// A page for people. same_bits: results_agree().
std::string scale_report_html(const ScaleStudy& study, const StudyTable& table, std::optional<bool> same_bits);

}  // namespace switchyard
