#include "jobs/train/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "jobs/records/report_blocks.h"
#include "report/document.h"

namespace switchyard {
namespace {

using report::Curves, report::ThinnedLine;

std::string bits_text(double loss) {
  return fmt::format("{} bits a token", report::text(loss / std::log(2.0), report::kNumber));
}

double seconds_at_work(const TrainSummary& s) {
  double seconds = 0;
  for (const AttemptHistory& attempt : s.attempts) seconds += attempt.end - attempt.began;
  return seconds;
}

report::Tiles key_figures(const TrainSummary& s) {
  report::Tiles tiles{{{"Steps", static_cast<double>(s.steps.steps), report::kCount},
                       {"Tokens", static_cast<double>(s.steps.tokens), report::kCount}}};
  if (s.steps.last) tiles.tiles.push_back({"Loss", s.steps.last->loss, report::kNumber, bits_text(s.steps.last->loss)});
  if (s.steps.last_held_out)
    tiles.tiles.push_back(
        {"Held-out loss", s.steps.last_held_out->loss, report::kNumber, bits_text(s.steps.last_held_out->loss)});
  if (s.steps.best_held_out)
    tiles.tiles.push_back({"Best held-out loss", s.steps.best_held_out->loss, report::kNumber,
                           fmt::format("after step {}", s.steps.best_held_out->step)});
  if (s.changes)
    tiles.tiles.push_back({"Parameters that trained", static_cast<double>(s.changes->trained), report::kCount,
                           fmt::format("of {}; {} changed, {} vanished in rounding", count_text(s.changes->parameters),
                                       count_text(s.changes->changed), count_text(s.changes->vanished))});
  tiles.tiles.push_back({"Time", seconds_at_work(s), report::kSeconds,
                         fmt::format("in {} attempt{}", s.attempts.size(), s.attempts.size() == 1 ? "" : "s")});
  return tiles;
}

Curves curve(std::string title, std::string label, const ThinnedLine& points) {
  return {.title = std::move(title), .x_name = "step", .lines = {{std::move(label), points}}};
}

Curves losses(std::string title, std::string x_name, const ThinnedLine& loss, const ThinnedLine& held_out) {
  return {
      .title = std::move(title), .x_name = std::move(x_name), .lines = {{"loss", loss}, {"held-out loss", held_out}}};
}

report::TimeSeries over_time(std::string title, report::Unit unit, const TrainSummary& s,
                             ThinnedLine AttemptHistory::*line) {
  report::TimeSeries series{.title = std::move(title), .unit = unit};
  for (const AttemptHistory& attempt : s.attempts) {
    const double origin = s.attempts.front().began;
    series.attempts.push_back({attempt.name, attempt.began - origin, attempt.end - origin});
    for (const ThinnedLine::Point& point : (attempt.*line).points())
      series.attempts.back().points.push_back({point.x - origin, point.value});
  }
  return series;
}

/// As rank 0 measured them.
report::StackedBars phases_of_attempts(const TrainSummary& s) {
  report::StackedBars bars{.title = "Where the time of the steps went",
                           .parts = {kStepPhases.begin(), kStepPhases.end()}};
  bars.parts.emplace_back("between phases");
  for (const AttemptHistory& attempt : s.attempts) {
    report::StackedBars::Row row{.label = attempt.name, .values = {attempt.phases.begin(), attempt.phases.end()}};
    double rest = attempt.seconds;
    for (const double seconds : attempt.phases) rest -= seconds;
    row.values.push_back(std::max(0.0, rest));
    bars.rows.push_back(std::move(row));
  }
  return bars;
}

report::Table attempts_table(const TrainSummary& s) {
  report::Table table{.title = "Attempts",
                      .columns = {{"attempt", {}},
                                  {"went on from step", report::kCount},
                                  {"steps taken", report::kCount},
                                  {"last step", report::kCount},
                                  {"computed again later", report::kCount},
                                  {"time", report::kSeconds}}};
  for (size_t i = 0; i < s.attempts.size(); ++i) {
    const AttemptHistory& attempt = s.attempts[i];
    const int64_t kept = i + 1 < s.attempts.size() ? s.attempts[i + 1].units_at_start : attempt.last_step;
    table.rows.push_back({attempt.name, static_cast<double>(attempt.units_at_start), static_cast<double>(attempt.steps),
                          static_cast<double>(attempt.last_step),
                          static_cast<double>(std::max<int64_t>(0, attempt.last_step - kept)),
                          attempt.end - attempt.began});
  }
  return table;
}

}  // namespace

std::vector<std::string> summary_lines(const TrainSummary& s) {
  std::vector<std::string> lines = phase_lines(s.phases);
  lines.push_back(fmt::format("the run: {} steps, {} tokens, {} attempt{}, {} at work", s.steps.steps,
                              count_text(s.steps.tokens), s.attempts.size(), s.attempts.size() == 1 ? "" : "s",
                              duration_text(seconds_at_work(s))));
  if (s.steps.last)
    lines.push_back(
        fmt::format("loss: {:.6f} in the first step, {:.6f} in the last", s.steps.first->loss, s.steps.last->loss));
  if (s.steps.last_held_out)
    lines.push_back(fmt::format("held-out loss: {:.6f} after step {}; best: {:.6f} after step {}",
                                s.steps.last_held_out->loss, s.steps.last_held_out->step, s.steps.best_held_out->loss,
                                s.steps.best_held_out->step));
  return lines;
}

std::string train_report_html(const std::vector<std::string>& plan, const TrainSummary& s) {
  const report::Definitions decided = definitions("Plan", plan);
  report::Document page("switchyard train", decided.entries.empty() ? "" : decided.entries.front().second);
  report::Section& results = page.section("Results");
  results.add(key_figures(s));
  if (s.rejects > 0)
    results.add(
        report::Note{report::Note::Kind::warning,
                     fmt::format("{} records were rejected; the log counts them and names the first.", s.rejects)});
  page.section("Loss")
      .add(losses("Loss over steps", "step", s.steps.loss, s.steps.held_out))
      .add(losses("Loss over tokens", "token", s.steps.loss_by_tokens, s.steps.held_out_by_tokens));
  report::Section& optimiser = page.section("Optimiser");
  optimiser.add(curve("Learning rate", "learning rate", s.steps.learning_rate))
      .add(curve("Gradient norm, before clipping", "gradient norm", s.steps.gradient_norm));
  if (!s.steps.penalty.empty())
    optimiser.add(curve("Penalty of what --ewc holds, beside the loss", "penalty", s.steps.penalty));
  page.section("Experts")
      .add(curve("Balancing loss", "balancing loss", s.steps.balance))
      .add(curve("Busiest expert over the mean, of the layer where that is most", "load", s.steps.expert_load))
      .add(tokens_of_experts(s.layers, s.num_experts, s.expert_tokens));
  page.section("Speed")
      .add(over_time("Tokens per second", report::kTokensPerSecond, s, &AttemptHistory::tokens_per_second))
      .add(over_time("GFLOP per second", {report::Unit::Kind::real, "GFLOP/s"}, s, &AttemptHistory::gflop_per_second))
      .add(over_time("Exchange, of the time of a step", report::kShare, s, &AttemptHistory::exchange_share));
  page.section("Time").add(phases_of_attempts(s)).add(phase_spreads(s.phases)).add(attempts_table(s));
  page.section("Plan").add(decided);
  return page.html();
}

}  // namespace switchyard
