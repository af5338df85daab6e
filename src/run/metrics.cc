#include "run/metrics.h"

#include <deque>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/stopwatch.h"
#include "io/file.h"

namespace switchyard {
namespace {

int64_t count_of(const Json& line, std::string_view field) {
  const Json* value = find_field(line, field);
  return value != nullptr && value->is_number_integer() ? value->get<int64_t>() : 0;
}

}  // namespace

void MetricsWriter::begin(int64_t unit) {
  unit_ = unit;
  items_told_ = 0;
  told_at_ = seconds_now();
}

double MetricsWriter::seconds_untold() const {
  return seconds_now() - told_at_;
}

void MetricsWriter::tell(int64_t items, const Json& more) {
  const double now = seconds_now();
  Json line = {{"time", seconds_since_1970()},
               {"group", group_},
               {"unit", unit_},
               {"items", items - items_told_},
               {"seconds", now - told_at_}};
  line.update(more);
  append_line(path_, to_text(line));
  items_told_ = items;
  told_at_ = now;
}

double items_per_second(const RunDirectory& run, double since) {
  constexpr size_t kLines = 64;
  const bool apart = file_exists(run.timing_path());
  std::ifstream file = open_lines(apart ? run.timing_path() : run.metrics_path());
  std::deque<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    lines.push_back(std::move(line));
    if (lines.size() > kLines) lines.pop_front();
  }
  double items = 0, seconds = 0;
  std::set<double> groups;
  for (const std::string& text : lines) {
    const Json line = parse_json_if_whole(text).value_or(Json());  // the last may be half written
    if (number_or_zero(line, "time") < since) continue;
    items += number_or_zero(line, "items");
    seconds += number_or_zero(line, "seconds");
    groups.insert(number_or_zero(line, "group"));
  }
  return seconds > 0 ? items / seconds * static_cast<double>(groups.size()) : 0;
}

RestartLosses restart_losses(const std::filesystem::path& metrics,
                             const std::function<int64_t(int64_t unit)>& kept_items,
                             const std::function<void()>& poll) {
  std::unordered_map<int64_t, int64_t> computed;  // items by unit
  std::ifstream file = open_lines(metrics);
  for (std::string text; std::getline(file, text);) {
    if (poll) poll();
    const Json line = parse_json_if_whole(text).value_or(Json());
    if (line.is_object() && find_field(line, "unit") != nullptr)
      computed[count_of(line, "unit")] += count_of(line, "items");
  }
  RestartLosses losses;
  for (const auto& [unit, items] : computed) {
    const int64_t lost = items - kept_items(unit);
    if (lost <= 0) continue;
    losses.items += lost;
    ++losses.units;
  }
  return losses;
}

}  // namespace switchyard
