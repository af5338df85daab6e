#include "jobs/train/history.h"

#include <algorithm>
#include <iterator>

#include "io/file.h"
#include "io/json.h"
#include "run/attempts.h"

namespace switchyard {
namespace {

/// Calls with each line that is whole: the last may be half written.
template <class Call>
void for_each_line(const std::filesystem::path& path, const Call& call) {
  std::ifstream file = open_lines(path);
  for (std::string text; std::getline(file, text);)
    if (const std::optional<Json> line = parse_json_if_whole(text)) call(*line);
}

}  // namespace

StepHistory read_steps(const RunDirectory& run) {
  StepHistory h;
  for_each_line(run.metrics_path(), [&](const Json& line) {
    const double step = number_or_zero(line, "step");
    h.steps = static_cast<int64_t>(step);
    h.tokens += static_cast<int64_t>(number_or_zero(line, "tokens"));
    const auto tokens = static_cast<double>(h.tokens);
    h.last = {h.steps, number_or_zero(line, "loss")};
    if (!h.first) h.first = h.last;
    h.loss.add(step, h.last->loss);
    h.loss_by_tokens.add(tokens, h.last->loss);
    if (find_field(line, "eval_loss") != nullptr) {
      h.last_held_out = {h.steps, number_or_zero(line, "eval_loss")};
      if (!h.best_held_out || h.last_held_out->loss < h.best_held_out->loss) h.best_held_out = h.last_held_out;
      h.held_out.add(step, h.last_held_out->loss);
      h.held_out_by_tokens.add(tokens, h.last_held_out->loss);
    }
    h.learning_rate.add(step, number_or_zero(line, "learning_rate"));
    h.gradient_norm.add(step, number_or_zero(line, "grad_norm"));
    h.balance.add(step, number_or_zero(line, "balance"));
    h.expert_load.add(step, number_or_zero(line, "expert_load"));
    if (find_field(line, "penalty") != nullptr) h.penalty.add(step, number_or_zero(line, "penalty"));
  });
  return h;
}

std::vector<AttemptHistory> read_attempts(const RunDirectory& run) {
  std::vector<AttemptHistory> attempts;
  for (const AttemptRecord& record : list_attempts(run)) {
    const auto began = static_cast<double>(record.started);
    attempts.push_back({.name = record.name(),
                        .began = began,
                        .end = began,
                        .units_at_start = record.units_at_start,
                        .last_step = record.units_at_start});
  }
  for_each_line(run.timing_path(), [&](const Json& line) {
    const double time = number_or_zero(line, "time");
    const auto later = std::ranges::upper_bound(attempts, time, {}, &AttemptHistory::began);
    if (later == attempts.begin()) return;
    AttemptHistory& own = *std::prev(later);
    own.end = std::max(own.end, time);
    ++own.steps;
    own.last_step = static_cast<int64_t>(number_or_zero(line, "unit")) + 1;
    own.seconds += number_or_zero(line, "seconds");
    for (size_t p = 0; p < kStepPhases.size(); ++p) own.phases[p] += number_or_zero(line, kStepPhases[p]);
    own.tokens_per_second.add(time, number_or_zero(line, "tokens_per_second"));
    own.gflop_per_second.add(time, number_or_zero(line, "gflop_per_second"));
    own.exchange_share.add(time, number_or_zero(line, "exchange_share"));
  });
  return attempts;
}

}  // namespace switchyard
