#include "jobs/train/step_log.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "base/error.h"
#include "base/stopwatch.h"
#include "io/file.h"

namespace switchyard {

namespace {

/// What people call it, and where it is in a line.
struct Curve {
  std::string_view tag, field;
};
constexpr Curve kCurves[] = {{"train/loss", "loss"},
                             {"train/balance_loss", "balance"},
                             {"train/grad_norm", "grad_norm"},
                             {"train/learning_rate", "learning_rate"},
                             {"train/expert_load", "expert_load"},
                             {"eval/loss", "eval_loss"}};
constexpr Curve kSpeeds[] = {{"perf/tokens_per_second", "tokens_per_second"},
                             {"perf/gflop_per_second", "gflop_per_second"},
                             {"perf/exchange_share", "exchange_share"}};

std::vector<Scalar> scalars_of(std::span<const Curve> curves, const Json& line) {
  std::vector<Scalar> scalars;
  for (const Curve& curve : curves)
    if (const Json* value = find_field(line, curve.field); value != nullptr && value->is_number())
      scalars.push_back({curve.tag, static_cast<float>(value->get<double>())});
  return scalars;
}

}  // namespace

StepLog::StepLog(const RunDirectory& run)
    : metrics_(run.metrics_path()), event_directory_(run.root() / "tensorboard"), timing_(run.timing_path(), 0) {}

void StepLog::cut_back(int64_t step) const {
  std::string kept;
  int64_t next = 1;
  std::ifstream file = open_lines(metrics_);
  for (std::string text; next <= step && std::getline(file, text);) {
    const Json line = parse_json_if_whole(text).value_or(Json());
    if (static_cast<int64_t>(number_or_zero(line, "step")) != next) continue;  // an orphan's: it had not yet noticed
    kept += text + '\n';
    ++next;
  }
  if (next <= step)
    fail(ExitCode::input, "{}: expected the {} steps of the newest checkpoint, found {}", metrics_.native(), step,
         next - 1);
  write_file_atomically(metrics_, kept);
}

void StepLog::begin_events(int64_t first_step, int64_t last) {
  const bool is_first = !has_event_files(event_directory_);
  if (!is_first && first_step > last) return;
  events_.emplace(event_directory_, is_first ? 1 : first_step);
  if (!is_first) return;
  std::ifstream file = open_lines(metrics_);
  for (std::string text; std::getline(file, text);)
    if (const auto line = parse_json_if_whole(text)) tell_event(*line);
}

void StepLog::tell_event(const Json& line) {
  events_->add(static_cast<int64_t>(number_or_zero(line, "step")), seconds_since_1970(), scalars_of(kCurves, line));
}

void StepLog::sync() {
  if (file_exists(metrics_, ExitCode::output)) sync_file(metrics_);
  if (events_) events_->sync();
}

void StepLog::begin(int64_t step) {
  timing_.begin(step - 1);
}

void StepLog::tell_timing(const Step& step, const Json& timing) {
  timing_.tell(step.records, timing);
  if (events_) events_->add(step.step, seconds_since_1970(), scalars_of(kSpeeds, timing));
}

Json metrics_line(const StepLog::Step& s) {
  Json line = {{"step", s.step},
               {"records", s.step * s.records},
               {"tokens", s.result.tokens},
               {"targets", s.result.targets},
               {"loss", s.result.losses.cross_entropy},
               {"balance", s.result.losses.balance},
               {"grad_norm", s.result.gradient_norm},
               {"learning_rate", s.learning_rate},
               {"expert_load", s.load}};
  if (s.result.penalty > 0) line["penalty"] = s.result.penalty;
  if (!s.held_out.empty()) {
    line["eval_loss"] = s.held_out.front();
    line["eval_losses"] = std::vector<double>(s.held_out.begin() + 1, s.held_out.end());
  }
  return line;
}

void StepLog::tell(const Step& step) {
  const Json line = metrics_line(step);
  append_line(metrics_, to_text(line));
  if (events_) tell_event(line);
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
