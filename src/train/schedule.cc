#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace switchyard {

Decay decay_of(std::string_view name) {
  if (name == "cosine") return Decay::cosine;
  if (name == "linear") return Decay::linear;
  if (name == "constant") return Decay::constant;
  if (name == "wsd") return Decay::wsd;
  fail(ExitCode::usage, "--lr-scheduler {}: expected cosine, linear, constant or wsd", name);
}

double Schedule::rate(int64_t step) const {
  SWITCHYARD_CHECK(step >= 1 && step <= steps, "the learning rate of step {} of {}", step, steps);
  if (step <= warmup) return peak * static_cast<double>(step) / static_cast<double>(warmup);
  if (decay == Decay::constant) return peak;
  // The decay's first step is the one after `begin`.
  const int64_t begin = decay == Decay::wsd ? std::max(warmup, steps - std::max<int64_t>(1, steps / 10)) : warmup;
  if (step <= begin) return peak;
  const double done = static_cast<double>(step - begin) / static_cast<double>(steps - begin);
  if (decay == Decay::cosine) return peak * (min_ratio + (1 - min_ratio) / 2 * (1 + std::cos(std::numbers::pi * done)));
  return peak * (1 - (1 - min_ratio) * done);
}

}  // namespace switchyard
