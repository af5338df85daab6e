// Rotary position embedding: which dimensions of a head turn, and how fast.
#pragma once

#include <cstdint>
#include <tuple>
#include <variant>
#include <vector>

#include "base/fields.h"
#include "kernels/attention/rope.h"

namespace switchyard {

struct NoScaling {
  bool operator==(const NoScaling&) const = default;
  static constexpr auto fields() { return std::tuple{}; }
};

/// Everything turns slower by a factor.
struct LinearScaling {
  double factor = 1;

  bool operator==(const LinearScaling&) const = default;
  static constexpr auto fields() { return std::tuple{Field{"factor", &LinearScaling::factor}}; }
};

/// Slow pairs turn slower by the factor, fast ones as ever, those between in between.   (Peng et al. 2023)
struct YarnScaling {
  double factor = 1, original_positions = 1;
  double beta_fast = 32, beta_slow = 1;   ///< turns over the original positions: what counts as fast, and as slow
  bool truncate = true;                   ///< the bounds between which pairs are in between are whole numbers
  double attention_factor = 0;            ///< of cosines and sines; 0: from the factor and the next two
  double mscale = 0, mscale_all_dim = 0;  ///< 0: not given

  bool operator==(const YarnScaling&) const = default;
  static constexpr auto fields() {
    return std::tuple{
        Field{"factor", &YarnScaling::factor},       Field{"original_positions", &YarnScaling::original_positions},
        Field{"beta_fast", &YarnScaling::beta_fast}, Field{"beta_slow", &YarnScaling::beta_slow},
        Field{"truncate", &YarnScaling::truncate},   Field{"attention_factor", &YarnScaling::attention_factor},
        Field{"mscale", &YarnScaling::mscale},       Field{"mscale_all_dim", &YarnScaling::mscale_all_dim}};
  }
};

/// The same by wavelengths: those longer than original_positions / low_freq_factor are slow.   (Llama 3.1)
struct Llama3Scaling {
  double factor = 1, original_positions = 1;
  double low_freq_factor = 1, high_freq_factor = 1;

  bool operator==(const Llama3Scaling&) const = default;
  static constexpr auto fields() {
    return std::tuple{Field{"factor", &Llama3Scaling::factor},
                      Field{"original_positions", &Llama3Scaling::original_positions},
                      Field{"low_freq_factor", &Llama3Scaling::low_freq_factor},
                      Field{"high_freq_factor", &Llama3Scaling::high_freq_factor}};
  }
};

struct RotaryConfig {
  double theta = 0;
  int64_t first = 0, dim = 0;  ///< dimensions [first, first + dim) of a head are turned; dim 0: none
  RotaryPairs pairs = RotaryPairs::halves;
  std::variant<NoScaling, LinearScaling, YarnScaling, Llama3Scaling> scaling = {};

  bool operator==(const RotaryConfig&) const = default;
  static constexpr auto fields() {
    return std::tuple{Field{"theta", &RotaryConfig::theta}, Field{"first", &RotaryConfig::first},
                      Field{"dim", &RotaryConfig::dim}, Field{"pairs", &RotaryConfig::pairs},
                      Field{"scaling", &RotaryConfig::scaling}};
  }
};

/// Radians by which each pair turns from one position to the next: [dim / 2].
std::vector<double> rotary_frequencies(const RotaryConfig& config);
/// By which cosines and sines are multiplied.
double rotary_stretch(const RotaryConfig& config);
/// By which DeepSeek-V3 multiplies the scale of its scores besides: m(mscale_all_dim)² where that is given.
double latent_score_factor(const RotaryConfig& config);

}  // namespace switchyard
