// Where the time of an attempt went, over its ranks: for the log and for a page.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "report/table.h"

namespace switchyard {

/// Seconds of a phase over the ranks.
struct PhaseSpread {
  double least = 0, mean = 0, most = 0;
  double share = 0;  ///< of the mean total
};
/// of_ranks, totals: [ranks], at least one.
PhaseSpread spread_over_ranks(std::span<const double> of_ranks, std::span<const double> totals);

struct PhaseRow {
  std::string name;
  bool within = false;  ///< a part of the one before
  PhaseSpread spread;
};
std::vector<std::string> phase_lines(std::span<const PhaseRow> rows);
report::Table phase_spreads(std::span<const PhaseRow> rows);

}  // namespace switchyard
