#include "jobs/score/throughput.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <utility>

#include "io/file.h"
#include "run/attempts.h"

namespace switchyard {
namespace {

/// What one group did between two lines.
struct Span {
  double begin, end;  ///< seconds since 1970
  double tokens;
};

/// What an attempt's groups did.
struct AttemptWork {
  double begin, end;  ///< of the attempt, as far as is known
  std::vector<Span> spans = {};
};

/// By attempt. The lines count a group's tokens from the beginning of its attempt.
std::vector<AttemptWork> work_of(const std::vector<AttemptRecord>& attempts, const std::filesystem::path& metrics) {
  std::vector<AttemptWork> work;
  for (const AttemptRecord& attempt : attempts) {
    const auto started = static_cast<double>(attempt.started);
    work.push_back({started, started});
  }
  std::map<std::pair<AttemptWork*, double>, double> counted;  // tokens, by attempt and group
  std::ifstream file = open_lines(metrics);
  for (std::string text; std::getline(file, text);) {
    const Json line = parse_json_if_whole(text).value_or(Json());  // the last may be half written
    const double time = number_or_zero(line, "time"), seconds = number_or_zero(line, "seconds");
    const auto later = std::ranges::upper_bound(work, time, {}, &AttemptWork::begin);
    if (later == work.begin()) continue;
    AttemptWork& own = *std::prev(later);
    const double tokens = number_or_zero(line, "group_tokens");
    const double before = std::exchange(counted[{&own, number_or_zero(line, "group")}], tokens);
    if (seconds <= 0 || time <= own.begin || tokens < before) continue;
    own.end = std::max(own.end, time);
    own.spans.push_back({std::max(own.begin, time - seconds), time, tokens - before});
  }
  return work;
}

/// Tokens per second in even steps of a second at least: a span spreads its tokens evenly over its time.
std::vector<report::TimeSeries::Point> rates(const AttemptWork& work, double origin) {
  constexpr double kMostPoints = 240;
  const double seconds = work.end - work.begin, num_points = std::clamp(std::floor(seconds), 1.0, kMostPoints);
  const double step = seconds / num_points;
  std::vector<report::TimeSeries::Point> points;
  for (double i = 0; i < num_points; ++i) points.push_back({work.begin + (i + 0.5) * step - origin, 0});
  for (const Span& span : work.spans) {
    const double rate = span.tokens / (span.end - span.begin);
    for (auto i = static_cast<size_t>((span.begin - work.begin) / step); i < points.size(); ++i) {
      const double low = work.begin + static_cast<double>(i) * step;
      if (low >= span.end) break;
      const double overlap = std::min(low + step, span.end) - std::max(low, span.begin);
      points[i].value += rate * std::max(0.0, overlap) / step;
    }
  }
  return points;
}

}  // namespace

std::vector<report::TimeSeries::Attempt> throughput(const RunDirectory& run) {
  const std::vector<AttemptRecord> attempts = list_attempts(run);
  const std::vector<AttemptWork> work = work_of(attempts, run.metrics_path());
  std::vector<report::TimeSeries::Attempt> series;
  for (size_t i = 0; i < work.size(); ++i) {
    if (work[i].spans.empty()) continue;
    const double origin = work.front().begin;
    series.push_back({attempts[i].name(), work[i].begin - origin, work[i].end - origin, rates(work[i], origin)});
  }
  return series;
}

}  // namespace switchyard
