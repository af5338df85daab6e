#include "jobs/sweep/collector.h"

#include <algorithm>

#include "base/log.h"
#include "io/file.h"

namespace switchyard {

void require_metrics(const SweepFile& file, const std::vector<std::string>& known) {
  for (const auto& [line, name] :
       {std::pair("metric", file.metric), {"retention", file.retention}, {"adaptation", file.adaptation}})
    if (!name.empty() && std::ranges::find(known, name) == known.end())
      fail(ExitCode::usage, "{} = {}: no point has it; there are {}", line, name, fmt::join(known, ", "));
}

std::string ranking_metric(const SweepFile& file, const StudyTable& table) {
  if (!file.metric.empty()) return file.metric;
  const std::vector<std::string> known = table.metrics();
  for (const char* name : {"eval_loss", "loss"})
    if (std::ranges::find(known, name) != known.end()) return name;
  return known.empty() ? "" : known.front();
}

void collect(const Sweep& sweep) {
  const StudyTable table = gather(sweep);
  const std::filesystem::path root = sweep.options().run;
  write_file_atomically(root / "sweep.csv", to_csv(table));
  write_study_file(root / "sweep.h5", table);
  if (const std::vector<std::string> known = table.metrics(); !known.empty()) require_metrics(sweep.file(), known);
  write_file_atomically(RunDirectory(root).report_path(), sweep_report_html(sweep, table));
  const auto complete = std::ranges::count_if(table.points, &StudyPoint::is_complete);
  log::info("{} of {} points are complete: {}", complete, table.points.size(), (root / "report.html").native());
}

}  // namespace switchyard
