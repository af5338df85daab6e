#include "jobs/slurm/run_rate.h"

#include <deque>
#include <set>

#include "io/file.h"
#include "io/json.h"

namespace switchyard {

double records_per_second(const RunDirectory& run, double since) {
  constexpr size_t kLines = 64;
  std::ifstream file = open_lines(run.metrics_path());
  std::deque<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    lines.push_back(std::move(line));
    if (lines.size() > kLines) lines.pop_front();
  }
  double records = 0, seconds = 0;
  std::set<double> groups;
  for (const std::string& text : lines) {
    const Json line = parse_json_if_whole(text).value_or(Json());  // the last may be half written
    const auto number = [&](std::string_view field) {
      const Json* value = line.is_object() ? find_field(line, field) : nullptr;
      return value != nullptr && value->is_number() ? value->get<double>() : 0.0;
    };
    if (number("time") < since) continue;
    records += number("records") + number("rejects");
    seconds += number("seconds");
    groups.insert(number("group"));
  }
  return seconds > 0 ? records / seconds * static_cast<double>(groups.size()) : 0;
}

}  // namespace switchyard
