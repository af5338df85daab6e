#include "jobs/sweep/sweep.h"

#include <algorithm>
#include <set>

#include "io/command.h"
#include "io/file.h"
#include "jobs/batch/job_needs.h"
#include "jobs/options/config_file.h"
#include "jobs/records/provenance.h"
#include "jobs/sweep/collector.h"
#include "jobs/sweep/point_metrics.h"

namespace switchyard {
namespace {

std::string value_text(const OptionValues& values) {
  return fmt::format("{}", fmt::join(values, "+"));
}

}  // namespace

void SweepOptions::describe(OptionSet& o) {
  o.group("What");
  o.add("sweep", &file, "FILE", "lines of name = value, of options of train; [a, b] has values to try");
  o.positional("sweep");
  o.require("sweep");
  RunOptions::describe_directory(o);
  o.add("local", &local, "", "here, one point after the other, instead of through Slurm");
  submit.describe_job(o);
  RunOptions::describe(o);
}

Sweep::Sweep(SweepOptions options, std::span<const JobEntry> jobs) : options_(std::move(options)), jobs_(jobs) {
  options_.run = absolute_path(options_.run, ExitCode::output);
  if (options_.file.empty()) options_.file = kept_file().native();
  text_ = read_config(options_.file, "sweep");
  file_ = parse_sweep(text_, options_.file, jobs);
  points_.emplace(file_, options_.file);
}

std::vector<std::string> Sweep::swept() const {
  std::vector<std::string> names;
  for (const SweptOption& option : file_.swept) names.push_back(option.name);
  return names;
}

std::vector<std::string> Sweep::values_of(int64_t point) const {
  const std::vector<size_t> choices = points_->choices(point);
  std::vector<std::string> values;
  for (size_t i = 0; i < choices.size(); ++i) values.push_back(value_text(file_.swept[i].values[choices[i]]));
  return values;
}

std::vector<std::string> Sweep::local_command(int64_t, const Stage& stage, const std::filesystem::path& config) const {
  return {own_program(), stage.job, "--config", config.native()};
}

std::map<std::string, double> Sweep::metrics_of(int64_t point) const {
  return switchyard::metrics_of(stages(point));
}

void Sweep::collect() const {
  switchyard::collect(*this);
}

const JobEntry& Sweep::entry(const std::string& job) const {
  return *std::ranges::find(jobs_, job, &JobEntry::name);
}

/// But for what the point makes itself, which is not there yet.
std::vector<JobNeed> Sweep::needs_of(const Stage& stage, const std::filesystem::path& folder,
                                     const std::filesystem::path& here) const {
  std::map<std::string, OptionValues> options = stage.options;
  options["run"] = {stage.run.native()};
  std::vector<JobNeed> needs = entry(stage.job).batch->needs({options, here});
  const auto is_own = [&](const std::filesystem::path& path) {
    return path.native().starts_with(folder.native() + "/");
  };
  std::erase_if(needs, [&](const JobNeed& need) { return std::ranges::any_of(need.paths, is_own); });
  return needs;
}

void Sweep::check(const Submission& request) const {
  std::set<std::string> seen, metrics;  // many points share their files
  naming(options_.file, [&] {
    for (int64_t point = 0; point < points_->count(); ++point)
      naming(fmt::format("point {} ({})", point, name_of(point)), [&] {
        const std::vector<Stage> runs = stages(point);
        for (const Stage& stage : runs) {
          const std::vector<JobNeed> needs = needs_of(stage, folder(point), request.start_directory());
          if (!request.waits_for_others() && !is_complete(stage)) check_needs(needs, seen);
        }
        for (const auto& [name, value] : metrics_to_come(runs)) metrics.insert(name);
      });
    require_metrics(file_, {metrics.begin(), metrics.end()});
  });
}

Json Sweep::manifest_info() const {
  Json info = provenance("sweep");
  info["file"] = path_to_json(options_.file);
  return info;
}

std::filesystem::path Sweep::kept_file() const {
  return std::filesystem::path(options_.run) / "sweep.cfg";
}

void Sweep::keep_file() const {
  write_file_atomically(kept_file(), text_);
}

}  // namespace switchyard
