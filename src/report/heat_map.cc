#include "report/heat_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "report/figure.h"
#include "report/markup.h"
#include "report/plot.h"

namespace switchyard::report {
namespace {

// Cells on a page that can be told apart, and with their tooltips keep a report small: 128 × 64.
constexpr int64_t kMostColumns = 128, kMostRows = 64;
constexpr int kLevels = 9;  // colours
constexpr double kTallestRow = 22, kTallestMap = 480;

/// [rows, columns] of what is drawn; a cell without a finite value is NaN.
struct Cells {
  int64_t rows = 0, columns = 0;
  int64_t row_step = 1, column_step = 1;  ///< values that are one cell
  std::vector<double> values;

  double at(int64_t row, int64_t column) const { return values[static_cast<size_t>(row * columns + column)]; }
};

double merged_value(const HeatMap& map, const Cells& cells, int64_t row, int64_t column) {
  double sum = 0, largest = 0;
  int64_t num = 0;
  for (int64_t r = row * cells.row_step; r < std::min((row + 1) * cells.row_step, map.rows); ++r)
    for (int64_t c = column * cells.column_step; c < std::min((column + 1) * cells.column_step, map.columns); ++c) {
      const double value = map.values[static_cast<size_t>(r * map.columns + c)];
      if (!std::isfinite(value)) continue;
      sum += value;
      largest = std::max(largest, value);
      ++num;
    }
  if (num == 0) return std::numeric_limits<double>::quiet_NaN();
  return map.merge == HeatMap::Merge::maximum ? largest : sum / static_cast<double>(num);
}

Cells cells_of(const HeatMap& map) {
  Cells cells;
  cells.row_step = std::max<int64_t>(1, (map.rows + kMostRows - 1) / kMostRows);
  cells.column_step = std::max<int64_t>(1, (map.columns + kMostColumns - 1) / kMostColumns);
  if (map.rows == map.columns) cells.column_step = cells.row_step;  // the same things both ways
  cells.rows = (map.rows + cells.row_step - 1) / cells.row_step;
  cells.columns = (map.columns + cells.column_step - 1) / cells.column_step;
  for (int64_t row = 0; row < cells.rows; ++row)
    for (int64_t column = 0; column < cells.columns; ++column)
      cells.values.push_back(merged_value(map, cells, row, column));
  return cells;
}

/// What is said of the values themselves, however they are merged.
struct Facts {
  double largest = 0, mean = 0;
  int64_t largest_at = 0, num = 0, zeros = 0;
};
Facts facts_of(const HeatMap& map) {
  Facts facts;
  double sum = 0;
  for (size_t i = 0; i < map.values.size(); ++i) {
    const double value = map.values[i];
    if (!std::isfinite(value)) continue;
    ++facts.num;
    sum += value;
    if (value <= 0) ++facts.zeros;
    if (value > facts.largest) {
      facts.largest = value;
      facts.largest_at = static_cast<int64_t>(i);
    }
  }
  if (facts.num > 0) facts.mean = sum / static_cast<double>(facts.num);
  return facts;
}

/// Colours from `low` to `high`.
struct Colours {
  double low = 0, high = 1;
  Spacing spacing = Spacing::linear;

  int level(double value) const {
    if (low == high) return kLevels - 1;
    const double fraction = Axis{.low = low, .high = high, .spacing = spacing}.at(value);
    return std::clamp(static_cast<int>(fraction * kLevels), 0, kLevels - 1);
  }
};

Colours colours_of(const Cells& cells, Spacing spacing) {
  Colours colours{.low = std::numeric_limits<double>::infinity(), .high = 0, .spacing = spacing};
  for (const double value : cells.values) {
    if (!(value > 0)) continue;
    colours.low = std::min(colours.low, value);
    colours.high = std::max(colours.high, value);
  }
  if (spacing == Spacing::linear || colours.high == 0) colours.low = 0;
  return colours;
}

/// "layer 3", "experts 4–7": those that a cell stands for.
std::string range_text(std::string_view name, int64_t first, int64_t step, int64_t end) {
  const int64_t last = std::min(first + step, end) - 1;
  return last == first ? fmt::format("{} {}", name, first) : fmt::format("{}s {}–{}", name, first, last);
}

/// The rows and columns of a cell: "layer 3, expert 12".
std::string place_text(const HeatMap& map, int64_t row, int64_t row_step, int64_t column, int64_t column_step) {
  const std::string columns = range_text(map.column_name, column, column_step, map.columns);
  if (map.row_name.empty()) return columns;
  return range_text(map.row_name, map.first_row + row, row_step, map.first_row + map.rows) + ", " + columns;
}

std::string draw(const HeatMap& map, const Cells& cells, const Colours& colours) {
  std::string marks = fmt::format("<rect class=\"ground\" width=\"100%\" height=\"100%\">{}</rect>", tooltip("0"));
  marks += open_stretched(static_cast<double>(cells.columns), static_cast<double>(cells.rows)) + "\n";
  for (int64_t row = 0; row < cells.rows; ++row)
    for (int64_t column = 0; column < cells.columns; ++column) {
      const double value = cells.at(row, column);
      if (value <= 0) continue;  // the ground
      const bool finite = std::isfinite(value);
      const std::string place =
          place_text(map, row * cells.row_step, cells.row_step, column * cells.column_step, cells.column_step);
      marks += fmt::format("<path class=\"{}\" d=\"M{} {}h1v1h-1\">{}</path>",
                           finite ? fmt::format("h{}", colours.level(value)) : "missing", column, row,
                           tooltip(fmt::format("{}: {}", place, finite ? text(value, map.unit) : "no number")));
    }
  return marks + "</svg>";
}

std::string legend(const Colours& colours, Unit unit) {
  std::string out =
      fmt::format("<p class=\"ramp\"><span>{}</span><svg width=\"{}\" height=\"11\" aria-hidden=\"true\">",
                  escaped(text(colours.low, unit)), kLevels * 16);
  for (int level = 0; level < kLevels; ++level)
    out += fmt::format("<rect class=\"h{}\" x=\"{}\" width=\"16\" height=\"11\"/>", level, level * 16);
  return out + fmt::format("</svg><span>{}{}</span></p>\n", escaped(text(colours.high, unit)),
                           colours.spacing == Spacing::logarithmic ? " (logarithmic)" : "");
}

void add_remarks(Figure& figure, const HeatMap& map, const Cells& cells, const Facts& facts) {
  if (facts.zeros > 0 && facts.largest > 0)
    figure.remarks.push_back(fmt::format("Zero: {} of {}.", fixed(static_cast<double>(facts.zeros), 0),
                                         fixed(static_cast<double>(facts.num), 0)));
  if (cells.row_step > 1 || cells.column_step > 1)
    figure.remarks.push_back(
        fmt::format("Each cell is the {} of {} × {}.", map.merge == HeatMap::Merge::mean ? "mean" : "largest",
                    plural(cells.row_step, map.row_name), plural(cells.column_step, map.column_name)));
}

Axis row_axis(const HeatMap& map, const Cells& cells, double height) {
  constexpr double kLine = 14;
  return index_axis(map.first_row, cells.rows, cells.row_step, std::max(1, static_cast<int>(height / kLine)));
}

}  // namespace

std::string render(const HeatMap& map) {
  SWITCHYARD_CHECK(std::ssize(map.values) == map.rows * map.columns, "{}: {} values of {} × {}", map.title,
                   map.values.size(), map.rows, map.columns);
  Figure figure{.title = map.title, .wide = map.rows != map.columns};
  const Facts facts = facts_of(map);
  if (facts.num > 0) {
    const Cells cells = cells_of(map);
    const Colours colours = colours_of(cells, map.spacing);
    Plot plot{.y_downwards = true, .grid = false};
    plot.height = std::min(kTallestRow * static_cast<double>(cells.rows), kTallestMap);
    plot.x = index_axis(0, cells.columns, cells.column_step, 8);
    if (!map.row_name.empty()) plot.y = row_axis(map, cells, plot.height);
    plot.x_name = map.column_name;
    plot.y_name = map.row_name;
    plot.marks = draw(map, cells, colours);
    const std::string largest =
        facts.largest == 0
            ? "All are zero"
            : fmt::format("Largest: {} at {} ({} times the mean of {})", text(facts.largest, map.unit),
                          place_text(map, facts.largest_at / map.columns, 1, facts.largest_at % map.columns, 1),
                          text(facts.largest / facts.mean, kNumber), text(facts.mean, map.unit));
    plot.description = fmt::format("{}, {} × {}. {}", map.title, map.rows, map.columns, largest);
    figure.drawing = render(plot);
    if (facts.largest > 0) figure.drawing += legend(colours, map.unit);
    figure.remarks.push_back(largest + ".");
    add_remarks(figure, map, cells, facts);
  }
  add_remark_on_left_out(figure, std::ssize(map.values) - facts.num);
  return render(figure);
}

}  // namespace switchyard::report
