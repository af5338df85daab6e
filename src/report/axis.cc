#include "report/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace switchyard::report {
namespace {

constexpr double kTolerance = 1e-9;  // of a step: ticks are products, bounds are measured
constexpr double kSame =
    1e-9;  // bounds that lie closer, of their size, are one value: means of equal ones differ by an ulp

/// The least round step that is not below `least`, in the scale's unit.
double round_step(double least, Unit unit, Scale scale) {
  constexpr std::array<double, 9> kHours = {1, 2, 3, 6, 12, 24, 48, 96, 168};
  constexpr std::array<double, 8> kMinutes = {1, 2, 5, 10, 15, 20, 30, 60};
  const double least_allowed = least * (1 - kTolerance);
  if (unit.kind == Unit::Kind::seconds && scale.factor == 60)
    for (const double step : kMinutes)
      if (step >= least_allowed) return step;
  if (unit.kind == Unit::Kind::seconds && scale.factor == 3600)
    for (const double step : kHours)
      if (step >= least_allowed) return step;
  const double power = std::pow(10, std::floor(std::log10(least)));
  double step = 10 * power;
  for (const double multiple : {5.0, 2.0, 1.0})
    if (multiple * power >= least_allowed) step = multiple * power;
  return unit.kind == Unit::Kind::count ? std::max(step, 1 / scale.factor) : step;
}

std::string tick_label(double scaled, double step, std::string_view symbol) {
  if (scaled == 0) return "0";
  const int decimals = step >= 1 ? 0 : static_cast<int>(std::ceil(-std::log10(step) - kTolerance));
  return with_symbol(fixed(scaled, decimals), symbol);
}

Axis make_linear(double low, double high, Unit unit, int most, bool widen) {
  if (high - low <= kSame * std::max(std::abs(low), std::abs(high))) (low > 0 ? low : high) = 0;
  if (low == high) high = 1;
  const Scale scale = scale_of(std::max(std::abs(low), std::abs(high)), unit);
  const double step = round_step((high - low) / scale.factor / most, unit, scale), width = step * scale.factor;
  const double first = widen ? std::floor(low / width + kTolerance) : std::ceil(low / width - kTolerance);
  const double last = widen ? std::ceil(high / width - kTolerance) : std::floor(high / width + kTolerance);
  Axis axis{.low = widen ? first * width : low, .high = widen ? last * width : high};
  const auto num_steps = static_cast<int64_t>(last - first);
  for (int64_t i = 0; i <= num_steps; ++i) {
    const double tick = first + static_cast<double>(i);
    axis.ticks.push_back({tick * width, tick_label(tick * step, step, scale.symbol)});
  }
  return axis;
}

}  // namespace

double Axis::at(double value) const {
  if (spacing == Spacing::logarithmic) return std::log(value / low) / std::log(high / low);
  return (value - low) / (high - low);
}

Axis linear_axis(double low, double high, Unit unit, int most) {
  return make_linear(low, high, unit, most, false);
}

Axis rounded_axis(double low, double high, Unit unit, int most) {
  return make_linear(low, high, unit, most, true);
}

Axis logarithmic_axis(double low, double high, Unit unit, int most) {
  Axis axis{.low = low, .high = high, .spacing = Spacing::logarithmic};
  const int first = static_cast<int>(std::floor(std::log10(low) + kTolerance));
  const int last = static_cast<int>(std::floor(std::log10(high) + kTolerance));
  const int every = std::max(1, (last - first + most - 1) / most);
  const bool few = last - first <= 1;
  for (int power = first; power <= last; power += every) {
    for (const int multiple : {1, 2, 5}) {
      const double value = multiple * std::pow(10, power);
      if (value < low * (1 - kTolerance) || value > high * (1 + kTolerance) || (multiple > 1 && !few)) continue;
      axis.ticks.push_back({value, short_text(value, {unit.kind})});
    }
  }
  if (axis.ticks.size() < 2) axis.ticks = linear_axis(low, high, unit, most).ticks;
  return axis;
}

Axis index_axis(int64_t first, int64_t cells, int64_t step, int most) {
  Axis axis{.low = 0, .high = static_cast<double>(cells)};
  int64_t every = 1;
  while ((cells + every - 1) / every > most) every *= 2;
  for (int64_t cell = 0; cell < cells; cell += every)
    axis.ticks.push_back({static_cast<double>(cell) + 0.5, fmt::format("{}", first + cell * step)});
  return axis;
}

}  // namespace switchyard::report
