#include "run/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/log.h"
#include "base/stopwatch.h"
#include "base/text.h"

namespace switchyard {
namespace {

constexpr double kLineSeconds = 30, kBarSeconds = 0.5;
constexpr size_t kBarWidth = 24;

double share_done(const ProgressReport& r) {
  return r.items_total == 0 ? 1 : static_cast<double>(r.items_done) / static_cast<double>(r.items_total);
}

std::string bar(const ProgressReport& r) {
  const auto filled = static_cast<size_t>(share_done(r) * kBarWidth);
  return fmt::format("[{}{}] ", std::string(filled, '#'), std::string(kBarWidth - filled, '.'));
}

}  // namespace

std::string progress_line(const ProgressReport& r) {
  std::string line = fmt::format("{}/{} {}", r.units_done, r.units_total, r.units);
  if (r.units_resumed > 0) line += fmt::format(" (resumed {})", r.units_resumed);
  line += fmt::format(" | {:.1f}%", 100 * share_done(r));
  if (!r.details.empty()) line += " | " + r.details;
  line += fmt::format(" | ETA {}", duration_text(r.seconds_left));
  if (r.seconds_to_limit > 0) line += fmt::format(" (limit {})", duration_text(r.seconds_to_limit));
  return line;
}

Progress::Progress(bool enabled) : enabled_(enabled), terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (bar_shown_) [[maybe_unused]]
    const auto written = ::write(STDERR_FILENO, "\n", 1);
}

bool Progress::due() const {
  return enabled_ && (!last_ || seconds_now() - *last_ >= (terminal_ ? kBarSeconds : kLineSeconds));
}

void Progress::show(const ProgressReport& report) {
  if (!enabled_) return;
  last_ = seconds_now();
  if (!terminal_) {
    log::info("{}", progress_line(report));
    return;
  }
  const std::string text = "\r\033[K" + bar(report) + progress_line(report);
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
  bar_shown_ = true;
}

}  // namespace switchyard
