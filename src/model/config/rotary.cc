#include "model/config/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace switchyard {
namespace {

double mix(double a, double b, double share_of_b) {
  return a * (1 - share_of_b) + b * share_of_b;
}

void scale(const RotaryConfig&, const NoScaling&, std::vector<double>&) {}

void scale(const RotaryConfig&, const LinearScaling& s, std::vector<double>& frequencies) {
  for (double& f : frequencies) f /= s.factor;
}

void scale(const RotaryConfig& c, const YarnScaling& s, std::vector<double>& frequencies) {
  const auto dim = static_cast<double>(c.dim);
  // The pair that makes this many turns over the original positions.
  const auto pair_of = [&](double turns) {
    return dim * std::log(s.original_positions / (turns * 2 * std::numbers::pi)) / (2 * std::log(c.theta));
  };
  double low = pair_of(s.beta_fast), high = pair_of(s.beta_slow);
  if (s.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double slow = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = mix(frequencies[i], frequencies[i] / s.factor, slow);
  }
}

void scale(const RotaryConfig&, const Llama3Scaling& s, std::vector<double>& frequencies) {
  for (double& f : frequencies) {
    const double wavelengths = s.original_positions * f / (2 * std::numbers::pi);  // over the original positions
    const double range = s.high_freq_factor - s.low_freq_factor;                   // 0: nothing is in between
    const double fast = range > 0                          ? (wavelengths - s.low_freq_factor) / range
                        : wavelengths >= s.low_freq_factor ? 1
                                                           : 0;
    f = mix(f / s.factor, f, std::clamp(fast, 0.0, 1.0));
  }
}

/// YaRN's m(a): what attention over longer records is to be sharpened by.
double magnitude(const YarnScaling& s, double a) {
  return s.factor <= 1 ? 1 : 0.1 * a * std::log(s.factor) + 1;
}

}  // namespace

std::vector<double> rotary_frequencies(const RotaryConfig& c) {
  std::vector<double> frequencies;
  for (int64_t i = 0; i < c.dim / 2; ++i)
    frequencies.push_back(std::pow(c.theta, -2.0 * static_cast<double>(i) / static_cast<double>(c.dim)));
  std::visit([&](const auto& scaling) { scale(c, scaling, frequencies); }, c.scaling);
  return frequencies;
}

double rotary_stretch(const RotaryConfig& c) {
  const auto* yarn = std::get_if<YarnScaling>(&c.scaling);
  if (yarn == nullptr) return 1;
  if (yarn->attention_factor != 0) return yarn->attention_factor;
  if (yarn->mscale != 0 && yarn->mscale_all_dim != 0)
    return magnitude(*yarn, yarn->mscale) / magnitude(*yarn, yarn->mscale_all_dim);
  return magnitude(*yarn, 1);
}

double latent_score_factor(const RotaryConfig& c) {
  const auto* yarn = std::get_if<YarnScaling>(&c.scaling);
  if (yarn == nullptr || yarn->mscale_all_dim == 0) return 1;
  const double m = magnitude(*yarn, yarn->mscale_all_dim);
  return m * m;
}

}  // namespace switchyard
