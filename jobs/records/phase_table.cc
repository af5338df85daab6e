#include "jobs/records/phase_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace switchyard {

PhaseSpread spread_over_ranks(std::span<const double> of_ranks, std::span<const double> totals) {
  const auto [least, most] = std::ranges::minmax(of_ranks);
  const double sum = std::accumulate(of_ranks.begin(), of_ranks.end(), 0.0);
  const double total = std::accumulate(totals.begin(), totals.end(), 0.0);
  return {.least = least,
          .mean = sum / static_cast<double>(of_ranks.size()),
          .most = most,
          .share = total > 0 ? sum / total : 0};
}

std::vector<std::string> phase_lines(std::span<const PhaseRow> rows) {
  std::vector<std::string> lines{
      fmt::format("{:<22}{:>10}{:>10}{:>10}{:>8}", "phase (seconds)", "min", "avg", "max", "share")};
  for (const auto& [name, within, spread] : rows)
    lines.push_back(fmt::format("{:<22}{:>10.2f}{:>10.2f}{:>10.2f}{:>7.1f}%", (within ? "  " : "") + name, spread.least,
                                spread.mean, spread.most, 100 * spread.share));
  return lines;
}

report::Table phase_spreads(std::span<const PhaseRow> rows) {
  report::Table table{.title = "Phases over the ranks",
                      .columns = {{"phase", {}},
                                  {"least", report::kSeconds},
                                  {"mean", report::kSeconds},
                                  {"most", report::kSeconds},
                                  {"share", report::kShare}}};
  for (const auto& [name, within, spread] : rows)
    table.rows.push_back({(within ? "of it " : "") + name, spread.least, spread.mean, spread.most, spread.share});
  return table;
}

}  // namespace switchyard
