// The learning rate at each step.
#pragma once

#include <cstdint>
#include <string_view>

namespace switchyard {

/// How it falls from the peak after warming up. With s the step, w the warm-up's steps, n all of them, m the least
/// rate over the peak:
enum class Decay : uint8_t {
  cosine,    ///< peak · (m + (1 − m)/2 · (1 + cos π(s−w)/(n−w)))
  linear,    ///< peak · (1 − (1 − m)·(s−w)/(n−w))
  constant,  ///< peak
  wsd        ///< warm-up, stable, decay: the peak, and in the last tenth of the n steps down to m · peak in a line
};
/// Of "cosine", "linear", "constant", "wsd"; fails (usage) for anything else.
Decay decay_of(std::string_view name);

struct Schedule {
  Decay decay = Decay::cosine;
  double peak = 0, min_ratio = 0;
  int64_t warmup = 0, steps = 1;

  /// Of a step in 1 … steps. While warming up, s ≤ w, it is peak · s/w.
  double rate(int64_t step) const;
};

}  // namespace switchyard
