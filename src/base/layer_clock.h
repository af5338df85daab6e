// Which of a model's layers a rank's time goes into.
#pragma once

#include <optional>
#include <vector>

#include "base/stopwatch.h"

namespace switchyard {

/// One layer at a time; what comes before, between and behind them is nobody's. On a device this is the host's time:
/// what is given to the device is done later.
class LayerClock {
 public:
  explicit LayerClock(size_t layers) : seconds_(layers) {}

  void enter(size_t layer) {
    leave();
    layer_ = layer;
  }
  void leave() {
    const double now = seconds_now();
    if (layer_) seconds_[*layer_] += now - since_;
    layer_.reset();
    since_ = now;
  }
  /// [layers], so far.
  const std::vector<double>& seconds() const { return seconds_; }

 private:
  std::vector<double> seconds_;
  std::optional<size_t> layer_;
  double since_ = 0;
};

}  // namespace switchyard
