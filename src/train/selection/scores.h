// How much each element of a model is wanted among those that train.
#pragma once

#include <bit>
#include <span>
#include <vector>

#include "train/selection/fisher_source.h"
#include "train/selection/places.h"

namespace switchyard {

/// What a choice is made by. What its rule does not need may be missing.
struct SelectionScores {
  FisherSource of_new = {}, of_old = {};
  double mean_old = 0;                           ///< of all elements
  std::vector<double> gates = {}, choices = {};  ///< [layers, E] each expert's part of the routing
};

/// Scores by a rule, and their order.
class ElementScores {
 public:
  /// All outlive this.
  ElementScores(const ParameterSpace& space, const SelectionOptions& options, const SelectionScores& scores);

  /// Of rows [row, row + count) of a parameter; valid until the next call. Fails (input) on what is no score.
  std::span<const float> of(const Place& place, int64_t row, int64_t count);
  /// Σ of all of a parameter's, in f64 and in order.
  double sum(const Place& place);
  /// Of a score, or a mean of some: what is wanted most has the largest key.
  uint32_t key(float score) const {  // the bits of numbers that are not negative are in their order
    const auto bits = std::bit_cast<uint32_t>(score + 0.0f);
    return rule_ == SelectionRule::fisher_old ? ~bits : bits;
  }

  static constexpr int64_t kElementsAtOnce = int64_t{1} << 16;

 private:
  const ParameterSpace& space_;
  const SelectionRule rule_;
  const uint64_t seed_;
  const SelectionScores& scores_;
  const double epsilon_;
  std::vector<float> values_, old_;
};

/// How many of a parameter's rows are looked at at once.
inline int64_t rows_at_once(const Parameter& p) {
  return std::max<int64_t>(ElementScores::kElementsAtOnce / p.row_elements(), 1);
}

}  // namespace switchyard
