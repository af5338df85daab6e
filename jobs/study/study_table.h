// What the points of a study have come to: one table for sweeps and scaling studies, as CSV, as HDF5 and for reports.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace switchyard {

struct StudyPoint {
  int64_t number = 0;
  std::vector<std::string> options = {};       ///< a value for each of the table's
  std::string state = {};                      ///< "complete", "failed", "running", "waiting" …
  std::string message = {};                    ///< why it stands so
  std::map<std::string, double> metrics = {};  ///< of one that is complete
  std::string run = {}, command = {};          ///< its folder; what reproduces it

  bool is_complete() const { return state == "complete"; }
  double metric(const std::string& name) const;  ///< NaN: it has none
};

struct StudyTable {
  std::vector<std::string> options;  ///< names of those that differ between points
  std::vector<StudyPoint> points;

  /// Of all points, in order of names.
  std::vector<std::string> metrics() const;
};

/// A line a point: point, the options, state, the metrics (empty: none), run, command.
std::string to_csv(const StudyTable& table);

/// point [n] i64; option/NAME, state, message, run, command [n] strings; metric/NAME [n] f64, NaN where there is none.
void write_study_file(const std::filesystem::path& path, const StudyTable& table);

}  // namespace switchyard
