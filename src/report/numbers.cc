#include "report/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace switchyard::report {
namespace {

struct Step {
  double least;  ///< magnitude from which it is used
  Scale scale;
};

/// The last step that the magnitude reaches.
template <size_t kSteps>
Scale last_reached(const std::array<Step, kSteps>& steps, double magnitude) {
  Scale scale = steps.front().scale;
  for (const Step& step : steps)
    if (magnitude >= step.least) scale = step.scale;
  return scale;
}

constexpr double kMinute = 60, kHour = 3600, kDay = 86400;

std::string without_trailing_zeros(std::string number) {
  if (number.find('.') == std::string::npos) return number;
  number.erase(number.find_last_not_of('0') + 1);
  if (number.back() == '.') number.pop_back();
  return number;
}

std::string significant(double value, int digits) {
  if (value == 0) return "0";
  const double magnitude = std::abs(value);
  if (magnitude < 1e-4 || magnitude >= 1e15) return fmt::format("{:.{}g}", value, digits);
  return without_trailing_zeros(fixed(value, decimals_for(magnitude, digits)));
}

std::string seconds_text(double seconds) {
  if (seconds == 0) return "0 s";
  if (seconds < 0) return "-" + seconds_text(-seconds);
  if (seconds < 1e-6 || seconds >= 1e12) return significant(seconds, 3) + " s";
  if (seconds < kMinute - 0.05) {
    const Scale scale = scale_of(seconds, kSeconds);
    const double scaled = seconds / scale.factor;
    return with_symbol(fixed(scaled, decimals_for(scaled, 3)), scale.symbol);
  }
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  const int64_t minutes = std::llround(seconds / kMinute);
  if (minutes < 1440) return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
  const int64_t hours = std::llround(seconds / kHour);
  return fmt::format("{} d {} h", hours / 24, hours % 24);
}

std::string number_text(double value, Unit unit, double short_from) {
  const double magnitude = std::abs(value);
  switch (unit.kind) {
    case Unit::Kind::count:
      if (magnitude >= short_from) {
        const Scale scale = scale_of(magnitude, unit);
        return fmt::format("{} {}", significant(value / scale.factor, 4), scale.symbol);
      }
      return magnitude < 100 && value != std::round(value) ? significant(value, 3) : fixed(std::round(value), 0);
    case Unit::Kind::real:
      return significant(value, 4);
    case Unit::Kind::share:
      return fixed(100 * value, 1) + "%";
    case Unit::Kind::seconds:
      return seconds_text(value);
    case Unit::Kind::bytes: {
      const Scale scale = scale_of(magnitude, unit);
      const double scaled = value / scale.factor;
      return with_symbol(fixed(scaled, scale.factor == 1 ? 0 : decimals_for(std::abs(scaled), 3)), scale.symbol);
    }
  }
  return {};
}

std::string with_word(const std::string& number, Unit unit) {
  return unit.word.empty() ? number : fmt::format("{} {}", number, unit.word);
}

}  // namespace

std::string fixed(double value, int decimals) {
  if (std::abs(value) >= 1e18) return fmt::format("{:.3e}", value);
  std::string digits = fmt::format("{:.{}f}", std::abs(value), decimals);
  const bool reads_zero = digits.find_first_not_of("0.") == std::string::npos;
  if (reads_zero && value != 0)
    return (value > 0 ? "<" : ">-") + fmt::format("{:.{}f}", std::pow(10, -decimals), decimals);
  const size_t point = std::min(digits.find('.'), digits.size());
  for (size_t at = point; at > 3; at -= 3) digits.insert(at - 3, ",");
  return (value < 0 ? "-" : "") + digits;
}

int decimals_for(double magnitude, int significant_digits) {
  if (!(magnitude > 0) || !std::isfinite(magnitude)) return 0;
  return std::clamp(significant_digits - 1 - static_cast<int>(std::floor(std::log10(magnitude))), 0, 12);
}

std::string text(double value, Unit unit) {
  constexpr double kNever = 1e15;  // beyond, a double does not have all digits
  return std::isfinite(value) ? with_word(number_text(value, unit, kNever), unit) : "–";
}

std::string short_text(double value, Unit unit) {
  return std::isfinite(value) ? with_word(number_text(value, unit, 1e6), unit) : "–";
}

Scale scale_of(double largest, Unit unit) {
  constexpr std::array<Step, 5> kDecimal = {
      {{0, {1, ""}}, {1e4, {1e3, "k"}}, {1e6, {1e6, "M"}}, {1e9, {1e9, "B"}}, {1e12, {1e12, "T"}}}};
  constexpr double kKi = 1024;
  constexpr std::array<Step, 6> kBinary = {{{0, {1, "B"}},
                                            {kKi, {kKi, "KiB"}},
                                            {kKi * kKi, {kKi * kKi, "MiB"}},
                                            {kKi * kKi * kKi, {kKi * kKi * kKi, "GiB"}},
                                            {kKi * kKi * kKi * kKi, {kKi * kKi * kKi * kKi, "TiB"}},
                                            {kKi * kKi * kKi * kKi * kKi, {kKi * kKi * kKi * kKi * kKi, "PiB"}}}};
  // Minutes from three on: two minutes are better told in seconds.
  constexpr std::array<Step, 6> kTimes = {{{0, {1e-6, "µs"}},
                                           {1e-3, {1e-3, "ms"}},
                                           {1, {1, "s"}},
                                           {3 * kMinute, {kMinute, "min"}},
                                           {3 * kHour, {kHour, "h"}},
                                           {3 * kDay, {kDay, "d"}}}};
  switch (unit.kind) {
    case Unit::Kind::count:
      return last_reached(kDecimal, largest);
    case Unit::Kind::bytes:
      return last_reached(kBinary, largest);
    case Unit::Kind::seconds:
      return largest > 0 ? last_reached(kTimes, largest) : Scale{1, "s"};
    case Unit::Kind::share:
      return {0.01, "%"};
    case Unit::Kind::real:
      break;
  }
  return {};
}

std::string with_symbol(const std::string& number, std::string_view symbol) {
  const bool close = symbol.empty() || symbol == "%" || symbol == "k";
  return fmt::format("{}{}{}", number, close ? "" : " ", symbol);
}

}  // namespace switchyard::report
