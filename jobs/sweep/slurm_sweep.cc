#include "jobs/sweep/slurm_sweep.h"

#include <algorithm>
#include <iostream>

#include "base/log.h"
#include "jobs/slurm/array_indices.h"
#include "jobs/slurm/queue.h"
#include "jobs/slurm/slurm_client.h"
#include "jobs/slurm/submit_checks.h"
#include "jobs/slurm/submit_report.h"

namespace switchyard {
namespace {

constexpr size_t kMostText = 4000;  // of --array in a script

/// "4-7" or "4", from the first index of the part on.
std::string range_text(int64_t first, int64_t last, int64_t origin) {
  return first == last ? std::to_string(first - origin) : fmt::format("{}-{}", first - origin, last - origin);
}

/// One array's jobs, ready to be queued.
Submission submission_of(const Sweep& sweep, const Submission& request, const ArrayPart& part) {
  const std::filesystem::path root = sweep.options().run, folder = root / "points" / kArrayIndex;
  Submission s = request;
  s.entry = &sweep.training();
  s.indices = part.points;
  s.first_index = part.first_index();
  s.options.array = part.indices();
  if (s.options.name.empty()) s.options.name = fmt::format("sweep-{}", root.filename().native());
  s.script = root / fmt::format("batch-{}.sh", part.first_index());
  const auto config_words = [&](const Stage& stage) {
    return std::vector<std::string>{"--config", (folder / (stage.name + ".cfg")).native()};
  };
  const std::vector<Stage> any = sweep.stages(part.points.front());
  s.run = (folder / any.front().name).native();
  s.arguments = config_words(any.front());
  for (size_t i = 1; i < any.size(); ++i)
    s.then.push_back({any[i].job, config_words(any[i]), (folder / any[i].name).native()});
  for (const int64_t point : part.points) {
    const std::vector<Stage> stages = sweep.stages(point);
    s.own_values.push_back(stages.front().options);
    s.own_values.back()["run"] = {stages.front().run.native()};
    for (const Stage& stage : stages) s.files[sweep.folder(point) / (stage.name + ".cfg")] = stage.config();
  }
  return s;
}

}  // namespace

std::string ArrayPart::indices() const {
  std::string text;
  for (size_t begin = 0, end = 0; begin < points.size(); begin = end) {
    for (end = begin + 1; end < points.size() && points[end] == points[end - 1] + 1;) ++end;
    text += (begin == 0 ? "" : ",") + range_text(points[begin], points[end - 1], first_index());
  }
  return text;
}

std::vector<ArrayPart> array_parts(const std::vector<int64_t>& points, int64_t max_array_size) {
  if (max_array_size < 2)
    fail(ExitCode::usage,
         "sweep: Slurm's MaxArraySize is {}: this cluster takes no job arrays (--local runs points here)",
         max_array_size);
  std::vector<ArrayPart> parts;
  size_t text = 0;
  for (const int64_t point : points) {
    if (parts.empty() || point - parts.back().first_index() >= max_array_size || text > kMostText) {
      parts.emplace_back();
      text = 0;
    }
    // At most what a range of its own would take.
    const bool goes_on = !parts.back().points.empty() && parts.back().points.back() == point - 1;
    text += goes_on ? 0 : 2 * (std::to_string(point).size() + 1);
    parts.back().points.push_back(point);
  }
  return parts;
}

int submit_sweep(const Sweep& sweep, const Submission& request) {
  if (RunDirectory(sweep.options().run).has_manifest())
    RunDirectory(sweep.options().run).check_manifest(sweep.fingerprint());
  const MissingPoints missing(sweep);
  log::info("{} points: {} complete, {} in hand, {} to submit", sweep.num_points(), missing.complete, missing.in_hand,
            missing.points.size());
  std::vector<Submission> submissions;
  for (const ArrayPart& part :
       array_parts(missing.points, request.goes_elsewhere() ? kLargestArraySize : max_array_size()))
    check(submissions.emplace_back(submission_of(sweep, request, part)));
  if (sweep.options().dry_run) {
    for (const Submission& s : submissions) std::cout << render(make_script(s, ""));
    return 0;
  }
  if (submissions.empty()) return 0;
  const Environment environment = sbatch_environment(request.chosen_options());
  sweep.begin();
  report_request(submissions.front(), false);
  for (const Submission& s : submissions) {
    const std::vector<std::string> ids = queue_jobs(s, environment, {});
    log::info("job {}: {} points, array {}{}", ids.front(), s.num_runs(), s.options.array,
              s.first_index == 0 ? "" : fmt::format(" from point {} on", s.first_index));
  }
  log::info("watch: switchyard collect {}", shell_word(sweep.options().run));
  return 0;
}

}  // namespace switchyard
