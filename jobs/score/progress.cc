#include "jobs/score/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/log.h"
#include "base/stopwatch.h"
#include "jobs/text.h"

namespace switchyard {
namespace {

constexpr double kLineSeconds = 30, kBarSeconds = 0.5;
constexpr size_t kBarWidth = 24;

double share_done(const ProgressReport& r) {
  return r.records_total == 0 ? 1 : static_cast<double>(r.records_done) / static_cast<double>(r.records_total);
}

std::string bar(const ProgressReport& r) {
  const auto filled = static_cast<size_t>(share_done(r) * kBarWidth);
  return fmt::format("[{}{}] ", std::string(filled, '#'), std::string(kBarWidth - filled, '.'));
}

}  // namespace

std::string progress_line(const ProgressReport& r) {
  std::string line = fmt::format("{}/{} chunks", r.chunks_done, r.chunks_total);
  if (r.chunks_resumed > 0) line += fmt::format(" (resumed {})", r.chunks_resumed);
  line +=
      fmt::format(" | {:.1f}% | {} tok/s | comm {:.0f}% | imbalance {:.2f} | ETA {}", 100 * share_done(r),
                  rate_text(r.tokens_per_second), 100 * r.exchange_share, r.imbalance, duration_text(r.seconds_left));
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
