// What a run's work is counted in: chunks of records, steps of tokens, points of a sweep. The manifest says it, so that
// whoever looks at a run (settle, status) needs to know nothing of its job.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/json.h"

namespace switchyard {

/// Units are numbered from 0. Each that is done has a file in the run directory.
struct WorkUnits {
  std::string name = "units", items = "items";  ///< in the plural, as in "chunks" of "records"
  int64_t total = 0;                            ///< units
  int64_t items_total = 0, items_per_unit = 1;  ///< the last unit may have fewer
  std::string files = "units/unit-*";           ///< FOLDER/NAME; "*" is the unit's number, of six digits at least
  int64_t first = 0;                            ///< the number of unit 0 in its file's name
  bool in_order = false;                        ///< one after the other: the file of the last stands for all before it
  std::string results;                          ///< the file that a complete run has; empty: none but those above

  /// As many units as items need.
  static WorkUnits of_items(int64_t items_total, int64_t items_per_unit);

  int64_t first_item(int64_t unit) const { return unit * items_per_unit; }
  int64_t items_in(int64_t unit) const;
  std::filesystem::path folder(const std::filesystem::path& run) const;
  std::filesystem::path file(const std::filesystem::path& run, int64_t unit) const;

  /// The units whose file is there, in order; also beyond `total`, where somebody put them.
  std::vector<int64_t> present(const std::filesystem::path& run) const;
  /// Bytes of those files.
  uint64_t bytes_present(const std::filesystem::path& run) const;

  bool operator==(const WorkUnits&) const = default;
};

/// How far a run is.
struct UnitCounts {
  int64_t units = 0, items = 0;
};
UnitCounts count_done(const WorkUnits& units, const std::filesystem::path& run);

Json to_json(const WorkUnits& units);
/// Fails (input) naming the field. `subject`: the manifest's path.
WorkUnits parse_work_units(const Json& units, const std::string& subject);

}  // namespace switchyard
