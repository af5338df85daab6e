#include "jobs/train/step_log.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "base/error.h"
#include "io/file.h"

namespace switchyard {

StepLog::StepLog(const RunDirectory& run) : metrics_(run.metrics_path()), timing_(run.timing_path(), 0) {}

void StepLog::cut_back(int64_t step) const {
  std::string kept;
  int64_t next = 1;
  std::ifstream file = open_lines(metrics_);
  for (std::string text; next <= step && std::getline(file, text); ++next) {
    const Json line = parse_json_if_whole(text).value_or(Json());
    if (const auto found = static_cast<int64_t>(number_or_zero(line, "step")); found != next)
      fail(ExitCode::input, "{}: line {}: expected step {}, found {}", metrics_.native(), next, next, brief(text));
    kept += text + '\n';
  }
  if (next <= step)
    fail(ExitCode::input, "{}: expected the {} steps of the newest checkpoint, found {}", metrics_.native(), step,
         next - 1);
  write_file_atomically(metrics_, kept);
}

void StepLog::sync() const {
  if (file_exists(metrics_, ExitCode::output)) sync_file(metrics_);
}

void StepLog::begin(int64_t step) {
  timing_.begin(step - 1);
}

void StepLog::tell(const Step& s) {
  Json line = {{"step", s.step},
               {"records", s.step * s.records},
               {"tokens", s.result.tokens},
               {"targets", s.result.targets},
               {"loss", s.result.losses.cross_entropy},
               {"balance", s.result.losses.balance},
               {"grad_norm", s.result.gradient_norm},
               {"learning_rate", s.learning_rate},
               {"expert_load", s.load}};
  if (!s.held_out.empty()) {
    line["eval_loss"] = s.held_out.front();
    line["eval_losses"] = std::vector<double>(s.held_out.begin() + 1, s.held_out.end());
  }
  append_line(metrics_, to_text(line));
}

double worst_load(std::span<const int64_t> tokens, int64_t experts) {
  double worst = 0;
  for (size_t first = 0; first < tokens.size(); first += static_cast<size_t>(experts)) {
    const auto layer = tokens.subspan(first, static_cast<size_t>(experts));
    const int64_t total = std::accumulate(layer.begin(), layer.end(), int64_t{0});
    if (total > 0)
      worst = std::max(worst, static_cast<double>(std::ranges::max(layer) * experts) / static_cast<double>(total));
  }
  return worst;
}

}  // namespace switchyard
