#include "train/selection/scores.h"

#include <algorithm>

#include "base/rng.h"

namespace switchyard {
ElementScores::ElementScores(const ParameterSpace& space, const SelectionOptions& o, const SelectionScores& scores)
    : space_(space), rule_(o.rule), seed_(o.seed), scores_(scores), epsilon_(1e-8 * scores.mean_old) {}

std::span<const float> ElementScores::of(const Place& place, int64_t row, int64_t count) {
  const int64_t first = row * place.parameter.row_elements();
  values_.resize(static_cast<size_t>(count * place.parameter.row_elements()));
  if (rule_ == SelectionRule::random) {
    const auto index = static_cast<uint64_t>(space_.blocks()[place.block].first + place.first + first);
    for (size_t i = 0; i < values_.size(); ++i) values_[i] = random_uniform(seed_, index + i);
    return values_;
  }
  (rule_ == SelectionRule::fisher_old ? scores_.of_old : scores_.of_new).read(place.parameter, first, values_);
  if (rule_ != SelectionRule::ratio) return values_;
  old_.resize(values_.size());
  scores_.of_old.read(place.parameter, first, old_);
  for (size_t i = 0; i < values_.size(); ++i)
    values_[i] = static_cast<float>(static_cast<double>(values_[i]) / (static_cast<double>(old_[i]) + epsilon_));
  return values_;
}

double ElementScores::sum(const Place& place) {
  const int64_t rows = place.parameter.shape[0], at_once = rows_at_once(place.parameter);
  double sum = 0;
  for (int64_t row = 0; row < rows; row += at_once)
    for (const float value : of(place, row, std::min(at_once, rows - row))) sum += static_cast<double>(value);
  return sum;
}

}  // namespace switchyard
