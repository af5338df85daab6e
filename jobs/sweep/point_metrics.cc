#include "jobs/sweep/point_metrics.h"

#include <cmath>
#include <fstream>
#include <set>

#include "base/error.h"
#include "base/number.h"
#include "io/hdf5.h"
#include "io/json.h"
#include "jobs/train/export_log.h"
#include "jobs/train/step_log.h"
#include "run/run_directory.h"

namespace switchyard {
namespace {

/// Numbers of a JSON object, under their names.
void add_numbers(const Json& object, const std::set<std::string_view>& but, Metrics& metrics) {
  for (const auto& [name, value] : object.items())
    if (value.is_number() && !but.contains(name)) metrics[name] = value.get<double>();
}

/// The last line that is whole.
std::optional<Json> last_line(const std::filesystem::path& path) {
  std::ifstream lines = open_lines(path);
  std::optional<Json> last;
  for (std::string line; std::getline(lines, line);)
    if (std::optional<Json> json = parse_json_if_whole(line)) last = std::move(json);
  return last;
}

/// Names for files: their stems, or of several with one stem their places among all.
std::vector<std::string> names_of(const OptionValues& files) {
  std::vector<std::string> names;
  std::map<std::string, int> times;
  for (const std::string& file : files) ++times[names.emplace_back(std::filesystem::path(file).stem().native())];
  for (size_t i = 0; i < names.size(); ++i)
    if (times[names[i]] > 1) names[i] = std::to_string(i);
  return names;
}

/// Empty: not given.
std::string value_of(const Stage& stage, const char* option) {
  const auto given = stage.options.find(option);
  return given == stage.options.end() || given->second.empty() ? "" : given->second.front();
}

std::vector<std::string> held_out_names(const Stage& stage) {
  const auto files = stage.options.find("eval-data");
  return files == stage.options.end() ? std::vector<std::string>() : names_of(files->second);
}

/// line: a metrics_line(); changes: to_json() of these, or nothing.
void add_training(const Stage& stage, const Json& line, const Json& changes, Metrics& metrics) {
  add_numbers(line, {"records", "expert_load"}, metrics);
  if (const Json* losses = find_field(line, "eval_losses"); losses != nullptr && losses->is_array()) {
    const std::vector<std::string> names = held_out_names(stage);
    if (names.size() != losses->size())
      fail(ExitCode::input, "{}: {} held-out losses of {} files", RunDirectory(stage.run).metrics_path().native(),
           losses->size(), names.size());
    for (size_t i = 0; i < names.size(); ++i)
      if ((*losses)[i].is_number()) metrics["eval_loss." + names[i]] = (*losses)[i].get<double>();
  }
  add_numbers(changes, {}, metrics);
}

void add_training(const Stage& stage, Metrics& metrics) {
  const RunDirectory run(stage.run);
  const std::optional<Json> line = last_line(run.metrics_path());
  if (!line) fail(ExitCode::input, "{}: expected a line for every step, found none", run.metrics_path().native());
  const std::optional<ChangeCounts> changes = read_changes(run);
  add_training(stage, *line, changes ? to_json(*changes) : Json(), metrics);
}

/// Of a scoring run's records.
struct ScoreSums {
  double records = 0, tokens = 0, loss = 0, greedy = 0, rejects = 0;
};

void add_scores(const Stage& stage, const ScoreSums& sums, Metrics& metrics) {
  const double loss = sums.loss / sums.tokens;
  metrics[stage.name + ".loss"] = loss;
  metrics[stage.name + ".bits_per_token"] = loss / std::log(2.0);
  metrics[stage.name + ".greedy"] = sums.greedy / sums.records;
  metrics[stage.name + ".records"] = sums.records;
  metrics[stage.name + ".rejects"] = sums.rejects;
  metrics[stage.name + ".tokens"] = sums.tokens;
}

void add_scores(const Stage& stage, Metrics& metrics) {
  const h5::Reader file(RunDirectory(stage.run).results_path());
  const h5::Dataset logprobs = file.open("logprob"), tokens = file.open("tokens"), greedy = file.open("greedy");
  constexpr int64_t kAtOnce = 1 << 16;
  ScoreSums sums{.records = static_cast<double>(logprobs.rows())};
  for (int64_t first = 0; first < logprobs.rows(); first += kAtOnce) {
    const auto rows = static_cast<size_t>(std::min(kAtOnce, logprobs.rows() - first));
    std::vector<double> logprob(rows);
    std::vector<int32_t> scored(rows);
    std::vector<uint8_t> is_greedy(rows);
    logprobs.read(first, std::span(logprob));
    tokens.read(first, std::span(scored));
    greedy.read(first, std::span(is_greedy));
    for (size_t i = 0; i < rows; ++i) sums.loss -= logprob[i], sums.tokens += scored[i], sums.greedy += is_greedy[i];
  }
  if (const auto state = RunDirectory(stage.run).find_state()) sums.rejects = static_cast<double>(state->rejects);
  add_scores(stage, sums, metrics);
}

}  // namespace

Metrics metrics_of(std::span<const Stage> stages) {
  Metrics metrics;
  for (const Stage& stage : stages) {
    if (stage.job == "train" && stage.name == "train") add_training(stage, metrics);
    if (stage.job == "score") add_scores(stage, metrics);
  }
  return metrics;
}

Metrics metrics_to_come(std::span<const Stage> stages) {
  Metrics metrics;
  for (const Stage& stage : stages) {
    if (stage.job == "train" && stage.name == "train") {
      StepLog::Step step;
      step.result.penalty = number_in<double>(value_of(stage, "ewc")).value_or(0);
      if (const size_t files = held_out_names(stage).size(); files > 0) step.held_out.resize(1 + files);
      add_training(stage, metrics_line(step), value_of(stage, "init").empty() ? to_json(ChangeCounts()) : Json(),
                   metrics);
    }
    if (stage.job == "score") add_scores(stage, {}, metrics);
  }
  return metrics;
}

}  // namespace switchyard
