#include "jobs/options/time_limit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <regex>

namespace switchyard {

std::optional<int64_t> limit_seconds(const std::string& text) {
  std::smatch m;
  static const std::regex kDays("([0-9]{1,6})-([0-9]{1,6})(?::([0-9]{1,6})(?::([0-9]{1,6}))?)?");
  static const std::regex kPattern("(?:([0-9]{1,6}):)?([0-9]{1,6})(?::([0-9]{1,6}))?");
  static const std::regex kNone("unlimited|infinite|-1", std::regex::icase);
  if (std::regex_match(text, kNone)) return 0;
  const auto number = [&](size_t i) { return m[i].matched ? int64_t{std::stol(m[i])} : int64_t{0}; };
  if (std::regex_match(text, m, kDays)) return ((number(1) * 24 + number(2)) * 60 + number(3)) * 60 + number(4);
  if (!std::regex_match(text, m, kPattern)) return std::nullopt;
  if (m[1].matched && !m[3].matched) return number(1) * 60 + number(2);  // M:S, not H:M
  return (number(1) * 60 + number(2)) * 60 + number(3);
}

std::string limit_text(double seconds) {
  constexpr double kQuarter = 900;
  const auto quarters = static_cast<int64_t>(std::ceil(std::clamp(seconds, 1.0, 1e9) / kQuarter));
  const int64_t hours = quarters / 4, minutes = quarters % 4 * 15;
  const std::string days = hours >= 24 ? fmt::format("{}-", hours / 24) : "";
  return fmt::format("{}{:02}:{:02}:00", days, hours % 24, minutes);
}

}  // namespace switchyard
