#include <algorithm>
#include <cmath>

#include "jobs/scale/pop.h"
#include "jobs/scale/scale_table.h"
#include "jobs/study/statistics.h"
#include "report/document.h"
#include "report/groups.h"
#include "report/heat_map.h"
#include "report/scatter.h"
#include "report/stacked_bars.h"
#include "report/table.h"

namespace switchyard {
namespace {

class Page {
 public:
  Page(const ScaleStudy& study, const StudyTable& table, std::optional<bool> same_bits)
      : study_(study),
        definition_(study.definition()),
        table_(table),
        same_bits_(same_bits),
        sizes_(summaries(study, table)) {
    for (const SizeSummary& size : sizes_)
      if (!size.points.empty()) measured_.push_back(&size);
  }

  std::string html() const {
    report::Document page(is_functional() ? "switchyard scale: functional only" : "switchyard scale",
                          fmt::format("{} scaling of {}", name_of(definition_.scaling), definition_.job));
    report::Section& results = page.section("Results");
    if (is_functional())
      results.add(
          report::Note{report::Note::Kind::warning,
                       "Functional only: ranks share cores (or a GPU), so the times say nothing of a machine that has "
                       "one for each."});
    results.add(tiles());
    if (const std::string text = failures(); !text.empty())
      results.add(report::Note{report::Note::Kind::warning, text});
    if (const std::string text = result_bits(); !text.empty()) results.add(report::Note{.text = text});
    for (const std::string& text : advice()) results.add(report::Note{.text = text});
    if (!measured_.empty()) {
      results.add(scalability_table());
      report::Section& curves = page.section("Scaling");
      curves.add(times("Time of the work", &SizeSummary::seconds)).add(times("Time to solution", &SizeSummary::total));
      for (const std::string& value : values()) curves.add(speedups(value)).add(efficiencies(value));
      page.section("Where the time goes").add(phases()).add(stages()).add(pop_table());
      report::Section& exchange = page.section("Experts and traffic");
      exchange.add(routing_table());
      if (const auto map = traffic(); map.rows > 1) exchange.add(map);
      if (const auto map = layers(); map.rows > 0) exchange.add(map);
    }
    page.section("Points").add(points());
    page.section("Study").add(description());
    return page.html();
  }

 private:
  bool is_functional() const {
    return std::ranges::any_of(table_.points,
                               [](const StudyPoint& point) { return point.metric("shares_cores") == 1; });
  }
  std::vector<std::string> values() const {
    return definition_.values.empty() ? std::vector<std::string>{""} : definition_.values;
  }
  std::string label(const SizeSummary& size) const {
    std::string text = std::to_string(definition_.local ? size.point.ranks : size.point.size);
    if (!size.point.value.empty()) text += fmt::format(" · {} {}", definition_.over, size.point.value);
    return text;
  }
  const StudyPoint& point(int64_t number) const { return table_.points[static_cast<size_t>(number)]; }
  /// The measurement in the middle of a size's.
  const StudyPoint& middle(const SizeSummary& size) const {
    std::vector<int64_t> order = size.points;
    std::ranges::sort(order, {}, [&](int64_t number) { return point(number).metric("work"); });
    return point(order[(order.size() - 1) / 2]);
  }
  PointRecord record(const SizeSummary& size) const {
    return read_point_record(RunDirectory(study_.stages(middle(size).number).front().run));
  }
  /// The smallest size of the same value.
  const SizeSummary& base_of(const SizeSummary& size) const {
    return **std::ranges::find_if(measured_, [&](const SizeSummary* s) { return s->point.value == size.point.value; });
  }

  report::Tiles tiles() const {
    const auto complete = std::ranges::count_if(table_.points, &StudyPoint::is_complete);
    report::Tiles tiles{
        {{"Measurements", static_cast<double>(complete), report::kCount, fmt::format("of {}", table_.points.size())}}};
    if (measured_.empty()) return tiles;
    const SizeSummary& last = *measured_.back();
    const Scalability s = scalability(definition_.scaling, base_of(last), last);
    tiles.tiles.push_back({"Speed-up", s.speedup, report::kNumber,
                           fmt::format("{} against {} ranks", last.point.ranks, base_of(last).point.ranks)});
    tiles.tiles.push_back({"Efficiency", s.efficiency, report::kNumber, "of the largest size"});
    tiles.tiles.push_back(
        {"Tokens per second", median(last.tokens_per_second), report::kTokensPerSecond, "of the largest size"});
    return tiles;
  }

  std::string failures() const {
    std::string text;
    for (const SizeSummary& size : sizes_)
      if (size.failed > 0)
        text += fmt::format("{}{} of {} measurements of {} {} failed", text.empty() ? "" : "; ", size.failed,
                            definition_.repetitions, definition_.local ? "ranks" : "nodes", label(size));
    return text;
  }

  std::string result_bits() const {
    if (!same_bits_) return {};
    return *same_bits_ ? "All points with the same work have the same result, bit for bit."
                       : "Points with the same work have different results: this should not be.";
  }

  std::vector<std::string> advice() const {
    if (measured_.empty()) return {};
    const SizeSummary& last = *measured_.back();
    const PointRecord base = record(base_of(last)), largest = record(last);
    std::vector<std::string> notes;
    const SizeSummary* good = nullptr;  // the largest that is worth its ranks
    for (const SizeSummary* size : measured_)
      if (size->point.value == last.point.value &&
          scalability(definition_.scaling, base_of(*size), *size).efficiency >= 0.8)
        good = size;
    if (good != nullptr && good != &last)
      notes.push_back(fmt::format("past {} {}{} efficiency is below 0.8", label(*good),
                                  definition_.local ? "rank" : "node", good->point.size > 1 ? "s" : ""));
    for (std::string& note : scaling_advice(largest, base))
      notes.push_back(fmt::format("{} {}: {}", definition_.local ? "ranks" : "nodes", label(last), note));
    return notes;
  }

  report::Table scalability_table() const {
    report::Table table{.title = "By size",
                        .columns = {{definition_.local ? "ranks" : "nodes", {}},
                                    {"ranks", report::kCount},
                                    {"measured", report::kCount},
                                    {"median of the work", report::kSeconds},
                                    {"predicted", report::kSeconds},
                                    {"95 % of the median", {}},
                                    {"time to solution", report::kSeconds},
                                    {"tokens per second", report::kTokensPerSecond},
                                    {"speed-up", report::kNumber},
                                    {"efficiency", report::kNumber}}};
    for (const SizeSummary* size : measured_) {
      const Scalability s = scalability(definition_.scaling, base_of(*size), *size);
      const auto interval = median_interval(size->seconds);
      const auto [least, most] = std::ranges::minmax(size->seconds);
      table.rows.push_back({label(*size), static_cast<double>(size->point.ranks),
                            static_cast<double>(size->seconds.size()), median(size->seconds),
                            middle(*size).metric("predicted_work"),
                            interval ? fmt::format("{:.4g} to {:.4g} s", interval->low, interval->high)
                                     : fmt::format("fewer than 6: {:.4g} to {:.4g} s", least, most),
                            median(size->total), median(size->tokens_per_second), s.speedup, s.efficiency});
    }
    return table;
  }

  report::Groups times(const std::string& title, std::vector<double> SizeSummary::*seconds) const {
    report::Groups groups{
        .title = title,
        .x_name = definition_.local ? "ranks" : "nodes",
        .y_name = "seconds",
        .unit = report::kSeconds,
        .interval_label = "Bars: the median and a distribution-free 95 % interval of it, from six values on."};
    for (const SizeSummary* size : measured_) {
      report::Groups::Group group{.label = label(*size), .values = size->*seconds};
      if (const auto interval = median_interval(group.values))
        group.interval = {interval->low, median(group.values), interval->high};
      groups.groups.push_back(std::move(group));
    }
    return groups;
  }

  /// Every measurement against the base's median, and what an ideal machine would do.
  template <class Value, class Ideal>
  report::Scatter against_ranks(const std::string& title, const std::string& value, const Value& of,
                                const Ideal& ideal) const {
    report::Scatter scatter{.title = value.empty() ? title : fmt::format("{}, {} {}", title, definition_.over, value),
                            .x_name = "ranks",
                            .y_name = title,
                            .line_label = "ideal",
                            .rest_label = "measured"};
    for (const SizeSummary* size : measured_) {
      if (size->point.value != value) continue;
      const SizeSummary& base = base_of(*size);
      const double ranks = static_cast<double>(size->point.ranks);
      scatter.line.push_back(scatter.points.size());
      scatter.points.push_back({ranks, ideal(ranks / static_cast<double>(base.point.ranks)), "ideal", true});
      for (size_t i = 0; i < size->seconds.size(); ++i) {
        SizeSummary one = *size;
        one.seconds = {size->seconds[i]};
        one.tokens_per_second = {size->tokens_per_second[i]};
        scatter.points.push_back(
            {ranks, of(scalability(definition_.scaling, base, one)), fmt::format("point {}", size->points[i]), false});
      }
    }
    return scatter;
  }
  report::Scatter speedups(const std::string& value) const {
    return against_ranks(
        "speed-up", value, [](const Scalability& s) { return s.speedup; }, [](double ratio) { return ratio; });
  }
  report::Scatter efficiencies(const std::string& value) const {
    return against_ranks(
        "efficiency", value, [](const Scalability& s) { return s.efficiency; }, [](double) { return 1.0; });
  }

  /// Of the median measurement of every size, the mean over its ranks.
  report::StackedBars phases() const {
    report::StackedBars bars{.title = "The work's seconds, the mean over ranks (of the median measurement)",
                             .parts = {"useful", "wait", "transfer", "overhead", "other"}};
    for (const SizeSummary* size : measured_) {
      const StudyPoint& p = middle(*size);
      std::vector<double> seconds;
      for (const std::string& part : bars.parts) seconds.push_back(std::max(0.0, p.metric(part)) * p.metric("work"));
      bars.rows.push_back({label(*size), std::move(seconds)});
    }
    return bars;
  }
  report::StackedBars stages() const {
    report::StackedBars bars{.title = "Time to solution", .parts = {"load", "work", "finish"}};
    for (const SizeSummary* size : measured_) {
      const StudyPoint& p = middle(*size);
      bars.rows.push_back({label(*size), {p.metric("load"), p.metric("work"), p.metric("finish")}});
    }
    return bars;
  }

  report::Table pop_table() const {
    report::Table table{.title = "POP's factors of the work (of the median measurement; 0.8 is good)",
                        .columns = {{definition_.local ? "ranks" : "nodes", {}},
                                    {"load balance", report::kNumber},
                                    {"communication efficiency", report::kNumber},
                                    {"parallel efficiency", report::kNumber},
                                    {"wait", report::kShare},
                                    {"transfer", report::kShare},
                                    {"bytes over calibrated bandwidth", report::kShare},
                                    {"overhead", report::kShare}}};
    for (const SizeSummary* size : measured_) {
      const StudyPoint& p = middle(*size);
      table.rows.push_back({label(*size), p.metric("load_balance"), p.metric("communication_efficiency"),
                            p.metric("parallel_efficiency"), p.metric("wait"), p.metric("transfer"),
                            p.metric("predicted_transfer"), p.metric("overhead")});
    }
    return table;
  }

  report::Table routing_table() const {
    report::Table table{.title = "Routing",
                        .columns = {{definition_.local ? "ranks" : "nodes", {}},
                                    {"ranks a group (--ep)", report::kCount},
                                    {"experts a rank", report::kCount},
                                    {"tokens an expert", report::kCount},
                                    {"busiest expert over the mean", report::kNumber},
                                    {"expected remote share", report::kShare},
                                    {"remote share", report::kShare}}};
    for (const SizeSummary* size : measured_) {
      const StudyPoint& p = middle(*size);
      table.rows.push_back({label(*size), p.metric("ranks_per_group"), p.metric("experts_per_rank"),
                            p.metric("tokens_per_expert"), p.metric("expert_imbalance"),
                            p.metric("expected_remote_share"), p.metric("remote_share")});
    }
    return table;
  }

  report::HeatMap traffic() const {
    const PointRecord largest = record(*measured_.back());
    report::HeatMap map{.title = fmt::format("Bytes from rank to rank of a group, {} ranks", largest.num_ranks()),
                        .row_name = "rank",
                        .column_name = "to",
                        .unit = report::kBytes,
                        .rows = largest.num_ranks(),
                        .columns = largest.ep};
    for (const RankTimes& rank : largest.ranks)
      for (const int64_t bytes : rank.bytes_to) map.values.push_back(static_cast<double>(bytes));
    map.columns = std::ssize(map.values) / map.rows;
    return map;
  }

  /// Waiting by rank and layer, of the largest size.
  report::HeatMap layers() const {
    const PointRecord largest = record(*measured_.back());
    report::HeatMap map{.title = fmt::format("Seconds of waiting in a layer's exchange, {} ranks", largest.num_ranks()),
                        .row_name = "rank",
                        .column_name = "layer",
                        .unit = report::kSeconds,
                        .rows = largest.ep > 1 ? largest.num_ranks() : 0,
                        .columns = std::ssize(largest.ranks.front().layers)};
    if (map.rows == 0) return map;
    for (const RankTimes& rank : largest.ranks)
      for (const LayerTimes& layer : rank.layers) map.values.push_back(std::max(0.0, layer.wait));
    return map;
  }

  report::Table points() const {
    report::Table table{.title = "Every measurement", .columns = {{"point", report::kCount}}};
    for (const std::string& option : table_.options) table.columns.push_back({option, {}});
    table.columns.insert(table.columns.end(), {{"state", {}},
                                               {"hosts", {}},
                                               {"work", report::kSeconds},
                                               {"time to solution", report::kSeconds},
                                               {"tokens per second", report::kTokensPerSecond},
                                               {"message", {}}});
    for (const StudyPoint& p : table_.points) {
      std::vector<report::Table::Cell> row = {static_cast<double>(p.number)};
      row.insert(row.end(), p.options.begin(), p.options.end());
      std::string hosts;
      if (p.is_complete())
        hosts = fmt::format(
            "{}", fmt::join(read_point_record(RunDirectory(study_.stages(p.number).front().run)).hosts(), " "));
      row.insert(row.end(),
                 {p.state, hosts, p.metric("work"), p.metric("total"), p.metric("tokens_per_second"), p.message});
      table.rows.push_back(std::move(row));
    }
    return table;
  }

  report::Definitions description() const {
    report::Definitions list{.title = "What was measured"};
    for (const auto& [name, value] : definition_.fields()) list.entries.emplace_back(name, value);
    if (measured_.empty()) return list;
    const PointRecord any = record(*measured_.back());
    list.entries.insert(list.entries.end(), {{"revision", any.revision},
                                             {"CPU", any.cpu},
                                             {"MPI", any.mpi},
                                             {"device", any.device},
                                             {"exchange", any.exchange},
                                             {"numerics", any.numerics},
                                             {"threads a rank", std::to_string(any.threads)},
                                             {"cores of the first rank", any.ranks.front().cores}});
    return list;
  }

  const ScaleStudy& study_;
  const ScaleDefinition& definition_;
  const StudyTable& table_;
  const std::optional<bool> same_bits_;
  const std::vector<SizeSummary> sizes_;
  std::vector<const SizeSummary*> measured_;
};

}  // namespace

std::string scale_report_html(const ScaleStudy& study, const StudyTable& table, std::optional<bool> same_bits) {
  return Page(study, table, same_bits).html();
}

}  // namespace switchyard
