#include "jobs/study/study_table.h"

#include <fmt/format.h>

#include <limits>
#include <set>

#include "base/tensor.h"
#include "io/hdf5.h"
#include "io/json.h"
#include "io/temporary_file.h"
#include "jobs/records/csv.h"

namespace switchyard {
namespace {

/// Names of datasets have no slashes of their own.
std::string dataset_of(std::string_view group, std::string name) {
  for (char& c : name)
    if (c == '/') c = '_';
  return fmt::format("{}/{}", group, name);
}

}  // namespace

double StudyPoint::metric(const std::string& name) const {
  const auto found = metrics.find(name);
  return found == metrics.end() ? std::numeric_limits<double>::quiet_NaN() : found->second;
}

std::vector<std::string> StudyTable::metrics() const {
  std::set<std::string> names;
  for (const StudyPoint& point : points)
    for (const auto& [name, value] : point.metrics) names.insert(name);
  return {names.begin(), names.end()};
}

std::string to_csv(const StudyTable& table) {
  const std::vector<std::string> metrics = table.metrics();
  std::vector<std::string> fields = {"point"};
  fields.insert(fields.end(), table.options.begin(), table.options.end());
  fields.emplace_back("state");
  fields.insert(fields.end(), metrics.begin(), metrics.end());
  fields.insert(fields.end(), {"run", "command"});
  std::string text;
  const auto add_line = [&] {
    for (size_t i = 0; i < fields.size(); ++i) text += (i == 0 ? "" : ",") + csv_field(fields[i]);
    text += "\n";
  };
  add_line();
  for (const StudyPoint& point : table.points) {
    fields = {std::to_string(point.number)};
    fields.insert(fields.end(), point.options.begin(), point.options.end());
    fields.push_back(point.state);
    for (const std::string& name : metrics)
      fields.push_back(point.metrics.contains(name) ? fmt::format("{}", point.metric(name)) : "");
    fields.insert(fields.end(), {point.run, point.command});
    add_line();
  }
  return text;
}

void write_study_file(const std::filesystem::path& path, const StudyTable& table) {
  const TemporaryFile temporary(path);
  h5::Writer file(temporary.path());
  const auto strings = [&](const std::string& name, const auto& of_point) {
    std::vector<std::string> values;
    for (const StudyPoint& point : table.points) values.push_back(of_point(point));
    file.write_strings(name, values);
  };
  std::vector<int64_t> numbers;
  for (const StudyPoint& point : table.points) numbers.push_back(point.number);
  file.write("point", view_of<int64_t>(numbers));
  for (size_t i = 0; i < table.options.size(); ++i)
    strings(dataset_of("option", table.options[i]), [i](const StudyPoint& point) { return point.options[i]; });
  for (const std::string& name : table.metrics()) {
    std::vector<double> values;
    for (const StudyPoint& point : table.points) values.push_back(point.metric(name));
    file.write(dataset_of("metric", name), view_of<double>(values));
  }
  strings("state", [](const StudyPoint& point) { return point.state; });
  strings("message", [](const StudyPoint& point) { return path_to_text(point.message); });
  strings("run", [](const StudyPoint& point) { return path_to_text(point.run); });
  strings("command", [](const StudyPoint& point) { return path_to_text(point.command); });
  file.close();
  temporary.publish();
}

}  // namespace switchyard
