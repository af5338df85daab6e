#include "report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "report/figure.h"
#include "report/markup.h"

namespace switchyard::report {
namespace {

constexpr size_t kMostRows = 500;
constexpr size_t kMostInALine = 6;  // tiles on a wide page, as many in each line

/// How the numbers of a column are written.
struct Format {
  Scale scale = {};
  int decimals = 0;
  std::string behind_title = {};  ///< "GiB"
  std::string_view behind_number = {};
};

/// Columns with the same unit are read side by side: they have one format.
Format format_of(const Table& table, Unit unit) {
  double largest = 0;
  bool whole = true;
  for (const std::vector<Table::Cell>& row : table.rows)
    for (size_t c = 0; c < row.size(); ++c) {
      const double* value = std::get_if<double>(&row[c]);
      if (table.columns[c].unit != unit || !value || !std::isfinite(*value)) continue;
      largest = std::max(largest, std::abs(*value));
      whole = whole && *value == std::round(*value);
    }
  if (unit.kind == Unit::Kind::count)
    return {.decimals = whole ? 0 : std::min(decimals_for(largest, 3), 2), .behind_title = std::string(unit.word)};
  if (unit.kind == Unit::Kind::share) return {.scale = scale_of(largest, unit), .decimals = 1, .behind_number = "%"};
  const Scale scale = scale_of(largest, unit);
  return {.scale = scale,
          .decimals = std::min(decimals_for(largest / scale.factor, 4), 3),
          .behind_title = std::string(scale.symbol)};
}

std::string cell_html(const Table::Cell& cell, const Table::Column& column, const Format& format) {
  const std::string style = column.unit ? " class=\"number\"" : "";
  const double* value = std::get_if<double>(&cell);
  if (!value) return fmt::format("<td{}>{}</td>", style, escaped(std::get<std::string>(cell)));
  if (!std::isfinite(*value)) return fmt::format("<td{}>–</td>", style);
  return fmt::format("<td{}>{}{}</td>", style, escaped(fixed(*value / format.scale.factor, format.decimals)),
                     format.behind_number);
}

}  // namespace

std::string render(const Table& table) {
  Figure figure{.title = table.title};
  if (table.rows.empty()) return render(figure);
  std::vector<Format> formats(table.columns.size());
  for (const std::vector<Table::Cell>& row : table.rows)
    SWITCHYARD_CHECK(row.size() == table.columns.size(), "{}: {} cells of {} columns", table.title, row.size(),
                     table.columns.size());
  std::string html = "<div class=\"scroll\"><table>\n<thead><tr>";
  for (size_t c = 0; c < table.columns.size(); ++c) {
    const Table::Column& column = table.columns[c];
    if (column.unit) formats[c] = format_of(table, *column.unit);
    const std::string& behind = formats[c].behind_title;
    html += fmt::format("<th scope=\"col\"{}>{}{}</th>", column.unit ? " class=\"number\"" : "", escaped(column.title),
                        behind.empty() ? "" : fmt::format(" ({})", escaped(behind)));
  }
  html += "</tr></thead>\n<tbody>\n";
  const size_t shown = std::min(table.rows.size(), kMostRows);
  for (size_t r = 0; r < shown; ++r) {
    html += "<tr>";
    for (size_t c = 0; c < table.columns.size(); ++c) html += cell_html(table.rows[r][c], table.columns[c], formats[c]);
    html += "</tr>\n";
  }
  figure.drawing = html + "</tbody></table></div>\n";
  if (shown < table.rows.size())
    figure.remarks.push_back(fmt::format("The first {} of {}.", shown, plural(std::ssize(table.rows), "line")));
  return render(figure);
}

std::string render(const Tiles& tiles) {
  if (tiles.tiles.empty()) return "<p class=\"empty wide\">No data.</p>\n";
  const size_t lines = (tiles.tiles.size() + kMostInALine - 1) / kMostInALine;
  std::string html =
      fmt::format("<dl class=\"tiles wide\" style=\"--columns:{}\">\n", (tiles.tiles.size() + lines - 1) / lines);
  for (const Tiles::Tile& tile : tiles.tiles) {
    html += fmt::format("<div class=\"card\"><dt>{}</dt><dd title=\"{}\">{}", escaped(tile.label),
                        escaped(text(tile.value, tile.unit)), escaped(short_text(tile.value, {tile.unit.kind})));
    if (!tile.unit.word.empty()) html += fmt::format(" <small>{}</small>", escaped(tile.unit.word));
    html += "</dd>";
    if (!tile.remark.empty()) html += fmt::format("<dd class=\"remark\">{}</dd>", escaped(tile.remark));
    html += "</div>\n";
  }
  return html + "</dl>\n";
}

std::string render(const Definitions& definitions) {
  Figure figure{.title = definitions.title};
  if (!definitions.entries.empty()) {
    figure.drawing = "<dl class=\"definitions\">\n";
    for (const auto& [term, meaning] : definitions.entries)
      figure.drawing += fmt::format("<dt>{}</dt><dd>{}</dd>\n", escaped(term), escaped(meaning));
    figure.drawing += "</dl>\n";
  }
  return render(figure);
}

std::string render(const Note& note) {
  const bool warning = note.kind == Note::Kind::warning;
  return fmt::format("<p class=\"note wide{}\">{}{}</p>\n", warning ? " warning" : "",
                     warning ? "<strong>Warning</strong> " : "", escaped(note.text));
}

}  // namespace switchyard::report
