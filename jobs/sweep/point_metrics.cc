#include "jobs/sweep/point_metrics.h"

#include <cmath>
#include <fstream>
#include <set>

#include "base/error.h"
#include "io/file.h"
#include "io/hdf5.h"
#include "io/json.h"
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

void add_training(const Stage& stage, Metrics& metrics) {
  const RunDirectory run(stage.run);
  const std::string subject = run.metrics_path().native();
  const std::optional<Json> line = last_line(run.metrics_path());
  if (!line) fail(ExitCode::input, "{}: expected a line for every step, found none", subject);
  add_numbers(*line, {"records", "expert_load"}, metrics);
  if (const Json* losses = find_field(*line, "eval_losses"); losses != nullptr && losses->is_array()) {
    const auto files = stage.options.find("eval-data");
    const std::vector<std::string> names =
        files == stage.options.end() ? std::vector<std::string>() : names_of(files->second);
    if (names.size() != losses->size())
      fail(ExitCode::input, "{}: {} held-out losses of {} files", subject, losses->size(), names.size());
    for (size_t i = 0; i < names.size(); ++i)
      if ((*losses)[i].is_number()) metrics["eval_loss." + names[i]] = (*losses)[i].get<double>();
  }
  if (const std::filesystem::path changes = stage.run / "changes.json"; file_exists(changes))
    add_numbers(parse_json(read_text_file(changes), changes.native()), {}, metrics);
}

void add_scores(const Stage& stage, Metrics& metrics) {
  const h5::Reader file(RunDirectory(stage.run).results_path());
  const h5::Dataset logprobs = file.open("logprob"), tokens = file.open("tokens"), greedy = file.open("greedy");
  constexpr int64_t kAtOnce = 1 << 16;
  double loss = 0, count = 0, all_greedy = 0;
  for (int64_t first = 0; first < logprobs.rows(); first += kAtOnce) {
    const auto rows = static_cast<size_t>(std::min(kAtOnce, logprobs.rows() - first));
    std::vector<double> logprob(rows);
    std::vector<int32_t> scored(rows);
    std::vector<uint8_t> is_greedy(rows);
    logprobs.read(first, std::span(logprob));
    tokens.read(first, std::span(scored));
    greedy.read(first, std::span(is_greedy));
    for (size_t i = 0; i < rows; ++i) loss -= logprob[i], count += scored[i], all_greedy += is_greedy[i];
  }
  const auto records = static_cast<double>(logprobs.rows());
  metrics[stage.name + ".loss"] = loss / count;
  metrics[stage.name + ".bits_per_token"] = loss / count / std::log(2.0);
  metrics[stage.name + ".greedy"] = all_greedy / records;
  metrics[stage.name + ".records"] = records;
  if (const auto state = RunDirectory(stage.run).find_state())
    metrics[stage.name + ".rejects"] = static_cast<double>(state->rejects);
  metrics[stage.name + ".tokens"] = count;
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

}  // namespace switchyard
