#include "jobs/scale/scale_table.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/log.h"
#include "base/text.h"
#include "io/file.h"
#include "jobs/scale/point_record.h"
#include "jobs/study/statistics.h"

namespace switchyard {
namespace {

/// Every point; of one that has a measurement also its metrics, where it ran and what on.
Json to_json(const ScaleStudy& study, const StudyTable& table, const std::vector<SizeSummary>& sizes,
             const ResultHashes& results) {
  Json points = Json::array();
  for (const StudyPoint& point : table.points) {
    Json line = {{"point", point.number}, {"state", point.state}, {"run", point.run}, {"command", point.command}};
    for (size_t i = 0; i < table.options.size(); ++i) line[table.options[i]] = point.options[i];
    for (const auto& [name, value] : point.metrics) line[name] = value;
    if (point.is_complete()) {
      const PointRecord record = read_point_record(RunDirectory(study.stages(point.number).front().run));
      Json hosts = Json::array(), cores = Json::array();
      for (const RankTimes& rank : record.ranks) hosts.push_back(rank.host), cores.push_back(rank.cores);
      line.update({{"hosts", hosts},
                   {"cores", cores},
                   {"cpu", record.cpu},
                   {"mpi", record.mpi},
                   {"git_revision", record.revision},
                   {"device", record.device},
                   {"exchange", record.exchange},
                   {"numerics", record.numerics},
                   {"result", results.at(point.number)}});
    }
    points.push_back(std::move(line));
  }
  Json summary = Json::array();
  for (const SizeSummary& size : sizes) {
    Json line = {{"size", size.point.size},         {"ranks", size.point.ranks}, {"value", size.point.value},
                 {"measured", size.seconds.size()}, {"failed", size.failed},     {"missing", size.missing}};
    if (!size.seconds.empty()) line["median_work"] = median(size.seconds);
    if (const auto interval = median_interval(size.seconds)) line["interval_work"] = {interval->low, interval->high};
    summary.push_back(std::move(line));
  }
  Json json = {{"study", study.definition().to_json()}, {"points", std::move(points)}, {"sizes", std::move(summary)}};
  if (const auto agree = results_agree(study, results)) json["same_result_bits"] = *agree;
  return json;
}

/// Extra-P's advice: five values of a parameter, five repetitions each.
void warn_of_few(const std::vector<SizeSummary>& sizes) {
  constexpr size_t kAdvised = 5;
  size_t least = kAdvised;
  for (const SizeSummary& size : sizes) least = std::min(least, size.seconds.size());
  if (sizes.size() < kAdvised || least < kAdvised)
    log::warning("extrap.txt: {} sizes with at least {} measurements each; Extra-P advises {} with {} for a model",
                 sizes.size(), least, kAdvised, kAdvised);
}

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

std::string data_line(const std::vector<double>& values) {
  std::string text = "DATA";
  for (const double value : values) text += fmt::format(" {:.9g}", value);
  return text + "\n";
}

}  // namespace

std::vector<SizeSummary> summaries(const ScaleStudy& study, const StudyTable& table) {
  std::map<std::pair<int64_t, int64_t>, SizeSummary> sizes;  // by the value's place, and the size
  const ScaleDefinition& d = study.definition();
  for (const StudyPoint& point : table.points) {
    const ScalePoint p = study.point(point.number);
    const auto value = std::ranges::find(d.values, p.value) - d.values.begin();
    SizeSummary& size = sizes[{value, p.size}];
    size.point = p;
    if (!point.is_complete()) {
      const bool over =
          point.state == "failed" || point.state == "lost" || point.state == "cancelled" || point.state == "error";
      ++(over ? size.failed : size.missing);
      continue;
    }
    size.points.push_back(point.number);
    size.seconds.push_back(point.metric("work"));
    size.total.push_back(point.metric("total"));
    size.tokens_per_second.push_back(point.metric("tokens_per_second"));
  }
  std::vector<SizeSummary> all;
  for (auto& [key, size] : sizes) all.push_back(std::move(size));
  return all;
}

Scalability scalability(Scaling scaling, const SizeSummary& base, const SizeSummary& size) {
  const double ranks = static_cast<double>(size.point.ranks) / static_cast<double>(base.point.ranks);
  Scalability s;
  s.speedup = scaling == Scaling::strong ? median(base.seconds) / median(size.seconds)
                                         : median(size.tokens_per_second) / median(base.tokens_per_second);
  s.efficiency = s.speedup / ranks;
  return s;
}

ResultHashes result_hashes(const ScaleStudy& study, const StudyTable& table) {
  ResultHashes results;
  for (const StudyPoint& point : table.points)
    if (point.is_complete())
      results[point.number] = hash_of_results(RunDirectory(study.stages(point.number).front().run));
  return results;
}

std::optional<bool> results_agree(const ScaleStudy& study, const ResultHashes& results) {
  std::map<std::string, std::multiset<std::string>> by_work;
  for (const auto& [number, hash] : results) {
    const ScalePoint p = study.point(number);
    std::string work = study.definition().scaling == Scaling::weak ? std::to_string(p.ranks) : "";
    if (study.definition().over == "dtype") work += " " + p.value;
    by_work[work].insert(hash);
  }
  const auto is_one = [](const auto& work) { return work.second.count(*work.second.begin()) == work.second.size(); };
  if (std::ranges::none_of(by_work, [](const auto& work) { return work.second.size() > 1; })) return std::nullopt;
  return std::ranges::all_of(by_work, is_one);
}

std::string to_extrap(const ScaleStudy& study, const std::vector<SizeSummary>& sizes) {
  const ScaleDefinition& d = study.definition();
  const bool is_parameter = !d.over.empty() && std::ranges::all_of(d.values, is_number);
  size_t repetitions = 1;
  for (const SizeSummary& size : sizes) repetitions = std::max(repetitions, size.seconds.size());
  const auto is_whole = [&](const SizeSummary& size) { return size.seconds.size() == repetitions; };
  // Of values that are no numbers each has regions of its own, over points that all of them have.
  const auto lacks = [&](const SizeSummary& size) {
    return !is_whole(size) || (!is_parameter && std::ranges::any_of(sizes, [&](const SizeSummary& other) {
      return other.point.size == size.point.size && !is_whole(other);
    }));
  };
  std::string text = "PARAMETER ranks\n";
  if (is_parameter) text += fmt::format("PARAMETER {}\n", replaced(d.over, "-", "_"));
  text += "\n";
  std::map<std::string, std::vector<const SizeSummary*>> regions;  // by the end of their names
  for (const SizeSummary& size : sizes)
    if (!lacks(size)) regions[is_parameter || d.over.empty() ? "" : "_" + size.point.value].push_back(&size);
  if (regions.empty()) return text;
  for (const SizeSummary* size : regions.begin()->second)
    text += is_parameter ? fmt::format("POINTS ( {} {} )\n", size->point.ranks, size->point.value)
                         : fmt::format("POINTS {}\n", size->point.ranks);
  for (const auto& [name, of_region] : regions)
    for (const auto& [what, seconds] : {std::pair("work", &SizeSummary::seconds), {"total", &SizeSummary::total}}) {
      text += fmt::format("\nREGION {}{}\nMETRIC time\n", what, name);
      for (const SizeSummary* size : of_region) text += data_line(size->*seconds);
    }
  return text;
}

void ScaleStudy::collect() const {
  const StudyTable table = gather(*this);
  const std::vector<SizeSummary> sizes = summaries(*this, table);
  const ResultHashes results = result_hashes(*this, table);
  write_file_atomically(root() / "scaling.csv", to_csv(table));
  write_study_file(root() / "scaling.h5", table);
  write_file_atomically(root() / "scaling.json", to_text(to_json(*this, table, sizes, results), 2) + "\n");
  write_file_atomically(root() / "extrap.txt", to_extrap(*this, sizes));
  write_file_atomically(RunDirectory(root()).report_path(),
                        scale_report_html(*this, table, results_agree(*this, results)));
  const auto complete = std::ranges::count_if(table.points, &StudyPoint::is_complete);
  if (complete == std::ssize(table.points)) warn_of_few(sizes);
  log::info("{} of {} points are complete: {}", complete, table.points.size(),
            RunDirectory(root()).report_path().native());
}

}  // namespace switchyard
