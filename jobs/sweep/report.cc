#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "jobs/study/statistics.h"
#include "jobs/sweep/collector.h"
#include "report/document.h"

namespace switchyard {
namespace {

constexpr std::string_view kRepetitions = "seed";  ///< points that differ in this alone are one and the same thing
constexpr size_t kMostShown = 500;                 // rows of a table of points

/// Points that differ in nothing but their seeds.
struct Combination {
  std::vector<std::string> options;  ///< without the seed
  std::vector<const StudyPoint*> points;
  std::vector<double> values;  ///< of the metric, where it is finite
};

class Page {
 public:
  Page(const Sweep& sweep, const StudyTable& table)
      : sweep_(sweep), file_(sweep.file()), table_(table), metric_(ranking_metric(file_, table)) {
    for (size_t i = 0; i < table.options.size(); ++i)
      if (table.options[i] != kRepetitions) columns_.push_back(i);
    std::map<std::vector<std::string>, size_t> known;
    for (const StudyPoint& point : table.points) {
      std::vector<std::string> options;
      for (const size_t i : columns_) options.push_back(point.options[i]);
      const auto [at, is_new] = known.try_emplace(options, combinations_.size());
      if (is_new) combinations_.push_back({options, {}, {}});
      Combination& combination = combinations_[at->second];
      combination.points.push_back(&point);
      if (const double value = point.metric(metric_); std::isfinite(value)) combination.values.push_back(value);
    }
  }

  std::string html() const {
    report::Document page("switchyard sweep", sweep_.options().file);
    report::Section& results = page.section("Results");
    results.add(tiles());
    if (const auto failed = failures(); !failed.text.empty()) results.add(failed);
    if (!metric_.empty()) results.add(ranked());
    if (!metric_.empty()) {
      report::Section& effects = page.section("By option");
      for (size_t i = 0; i < table_.options.size(); ++i) effects.add(effect(i));
    }
    if (!file_.retention.empty() && !file_.adaptation.empty())
      page.section("Retention and adaptation").add(trade_off());
    page.section("Points").add(all_points());
    page.section("Commands").add(commands());
    page.section("Sweep").add(description());
    return page.html();
  }

 private:
  int64_t count(std::string_view state) const { return std::ranges::count(table_.points, state, &StudyPoint::state); }
  static bool has_failed(const StudyPoint& point) {
    return point.state == "failed" || point.state == "error" || point.state == "lost" || point.state == "cancelled";
  }
  double better(double value) const { return file_.lower_is_better ? value : -value; }

  std::vector<const Combination*> by_rank() const {
    std::vector<const Combination*> order;
    for (const Combination& combination : combinations_) order.push_back(&combination);
    std::ranges::stable_sort(order, {}, [&](const Combination* c) {
      return c->values.empty() ? std::numeric_limits<double>::infinity() : better(median(c->values));
    });
    return order;
  }

  report::Tiles tiles() const {
    const auto failed = std::ranges::count_if(table_.points, has_failed);
    report::Tiles tiles{{{"Points", static_cast<double>(table_.points.size()), report::kCount},
                         {"Complete", static_cast<double>(count("complete")), report::kCount},
                         {"Failed", static_cast<double>(failed), report::kCount},
                         {"Not done yet", static_cast<double>(std::ssize(table_.points) - count("complete") - failed),
                          report::kCount}}};
    if (const auto order = by_rank(); !metric_.empty() && !order.front()->values.empty())
      tiles.tiles.push_back({"Best " + metric_, median(order.front()->values), report::kNumber,
                             fmt::format("{}", fmt::join(order.front()->options, ", "))});
    return tiles;
  }

  report::Note failures() const {
    std::string text;
    size_t shown = 0, all = 0;
    for (const StudyPoint& point : table_.points) {
      if (!has_failed(point)) continue;
      if (++all > 5) continue;
      text += fmt::format("{}point {} {}: {}", shown++ == 0 ? "" : "; ", point.number, point.state, point.message);
    }
    if (all > shown) text += fmt::format("; and {} more", all - shown);
    return {report::Note::Kind::warning, text};
  }

  /// What several repetitions come to.
  report::Table ranked() const {
    report::Table table{
        .title = fmt::format("Ranked by {} ({} is better)", metric_, file_.lower_is_better ? "lower" : "higher")};
    for (const size_t i : columns_) table.columns.push_back({table_.options[i], {}});
    table.columns.insert(table.columns.end(), {{"points", report::kCount},
                                               {"without a result", report::kCount},
                                               {"median", report::kNumber},
                                               {"least", report::kNumber},
                                               {"largest", report::kNumber},
                                               {"95 % of the median", {}}});
    for (const Combination* c : by_rank()) {
      std::vector<report::Table::Cell> row(c->options.begin(), c->options.end());
      const auto interval = median_interval(c->values);
      const double nan = std::numeric_limits<double>::quiet_NaN();
      row.insert(row.end(),
                 {static_cast<double>(c->points.size()), static_cast<double>(c->points.size() - c->values.size()),
                  median(c->values), c->values.empty() ? nan : std::ranges::min(c->values),
                  c->values.empty() ? nan : std::ranges::max(c->values),
                  interval ? fmt::format("{:.6g} to {:.6g}", interval->low, interval->high) : "fewer than 6 values"});
      table.rows.push_back(std::move(row));
    }
    return table;
  }

  report::Groups effect(size_t option) const {
    report::Groups groups{
        .title = fmt::format("{} by {}", metric_, table_.options[option]),
        .x_name = table_.options[option],
        .y_name = metric_,
        .interval_label = "Bars: the median and a distribution-free 95 % interval of it, from six values on."};
    for (const StudyPoint& point : table_.points) {
      const std::string& value = point.options[option];
      auto group = std::ranges::find(groups.groups, value, &report::Groups::Group::label);
      if (group == groups.groups.end()) group = groups.groups.insert(group, {.label = value});
      if (point.metrics.contains(metric_)) group->values.push_back(point.metric(metric_));
    }
    for (report::Groups::Group& group : groups.groups)
      if (const auto interval = median_interval(group.values))
        group.interval = {interval->low, median(group.values), interval->high};
    return groups;
  }

  report::Scatter trade_off() const {
    std::vector<double> retention, adaptation;
    report::Scatter scatter{.title = "What is kept of old data, and what is learnt of new",
                            .x_name = file_.adaptation,
                            .y_name = file_.retention,
                            .line_label = "no point is better in both"};
    for (const StudyPoint& point : table_.points) {
      adaptation.push_back(better(point.metric(file_.adaptation)));
      retention.push_back(better(point.metric(file_.retention)));
      scatter.points.push_back({point.metric(file_.adaptation), point.metric(file_.retention),
                                fmt::format("point {}, {}", point.number, fmt::join(point.options, ", "))});
    }
    scatter.line = pareto_front(adaptation, retention);
    for (const size_t i : scatter.line) scatter.points[i].marked = true;
    if (!file_.lower_is_better) std::ranges::reverse(scatter.line);
    return scatter;
  }

  report::Table all_points() const {
    const std::vector<std::string> metrics = table_.metrics();
    report::Table table{.title = table_.points.size() > kMostShown
                                     ? fmt::format("The first {} points; all are in sweep.csv", kMostShown)
                                     : "All points"};
    table.columns.push_back({"point", report::kCount});
    for (const std::string& option : table_.options) table.columns.push_back({option, {}});
    table.columns.push_back({"state", {}});
    for (const std::string& name : shown_metrics()) table.columns.push_back({name, report::kNumber});
    for (size_t i = 0; i < std::min(kMostShown, table_.points.size()); ++i) {
      const StudyPoint& point = table_.points[i];
      std::vector<report::Table::Cell> row = {static_cast<double>(point.number)};
      row.insert(row.end(), point.options.begin(), point.options.end());
      row.emplace_back(point.message.empty() ? point.state : fmt::format("{}: {}", point.state, point.message));
      for (const std::string& name : shown_metrics()) row.emplace_back(point.metric(name));
      table.rows.push_back(std::move(row));
    }
    return table;
  }

  /// What the file names, and losses.
  std::vector<std::string> shown_metrics() const {
    std::vector<std::string> shown;
    for (const std::string& name : table_.metrics())
      if (name == metric_ || name == file_.retention || name == file_.adaptation || name.find("loss") != name.npos)
        shown.push_back(name);
    return shown;
  }

  report::Table commands() const {
    report::Table table{.title = "What reproduces a point", .columns = {{"point", {}}, {"command", {}}}};
    for (size_t i = 0; i < std::min(kMostShown, table_.points.size()); ++i)
      table.rows.push_back({std::to_string(table_.points[i].number), table_.points[i].command});
    return table;
  }

  report::Definitions description() const {
    report::Definitions definitions{.title = sweep_.options().file};
    for (const auto& [name, value] : file_.fields()) definitions.entries.emplace_back(name, value);
    return definitions;
  }

  const Sweep& sweep_;
  const SweepFile& file_;
  const StudyTable& table_;
  const std::string metric_;
  std::vector<size_t> columns_;  ///< of the options without the seed
  std::vector<Combination> combinations_;
};

}  // namespace

std::string sweep_report_html(const Sweep& sweep, const StudyTable& table) {
  return Page(sweep, table).html();
}

}  // namespace switchyard
