#include "train/data/mixture.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace switchyard {
namespace {

/// shares: of a whole, each of which shall be at least a part of `whole`. Empty: they are not exact.
std::vector<int64_t> exact_parts(std::span<const double> shares, int64_t whole) {
  constexpr double kExact = 1e-12;  // as decimals that add up to one are
  std::vector<int64_t> parts;
  for (const double share : shares) {
    const double part = share * static_cast<double>(whole), nearest = std::round(part);
    if (nearest < 1 || std::abs(part - nearest) > kExact * nearest) return {};
    parts.push_back(static_cast<int64_t>(nearest));
  }
  return std::accumulate(parts.begin(), parts.end(), int64_t{0}) == whole ? parts : std::vector<int64_t>();
}

/// Each one part, and of the rest what is due, rounded down; what is left over goes to the largest remainders.
std::vector<int64_t> nearest_parts(std::span<const double> shares, int64_t whole) {
  const int64_t rest = whole - std::ssize(shares);
  std::vector<int64_t> parts;
  std::vector<std::pair<double, size_t>> remainders;
  int64_t left = rest;
  for (size_t i = 0; i < shares.size(); ++i) {
    const double due = shares[i] * static_cast<double>(rest);
    parts.push_back(1 + static_cast<int64_t>(due));
    left -= static_cast<int64_t>(due);
    remainders.emplace_back(std::floor(due) - due, i);
  }
  std::ranges::sort(remainders);
  for (int64_t i = 0; i < left; ++i) ++parts[remainders[static_cast<size_t>(i) % remainders.size()].second];
  return parts;
}

std::vector<int64_t> parts_of(std::span<const double> weights) {
  double sum = 0;
  for (const double weight : weights) {
    SWITCHYARD_CHECK(std::isfinite(weight) && weight > 0, "a weight of {}", weight);
    sum += weight;
  }
  if (std::ssize(weights) > Mixture::kMaxStreams)
    fail(ExitCode::usage, "--weights: of {} files, at most {} can have weights", weights.size(), Mixture::kMaxStreams);
  std::vector<double> shares;
  for (const double weight : weights) shares.push_back(weight / sum);
  for (int64_t whole = std::ssize(weights); whole <= Mixture::kMaxParts; ++whole)
    if (std::vector<int64_t> parts = exact_parts(shares, whole); !parts.empty()) return parts;
  return nearest_parts(shares, Mixture::kMaxParts);
}

/// Whose turn the n-th is (from 1), of k streams that have had `had`: exact, in units of 1 / (2k − 2) of a turn.
size_t next_turn(std::span<const int64_t> parts, int64_t whole, std::span<const int64_t> had, int64_t n) {
  const int64_t unit = std::max<int64_t>(1, 2 * std::ssize(parts) - 2);
  const auto due = [&](size_t i) { return (had[i] + 1) * unit - 1; };  // its next turn, times its share
  size_t best = parts.size();
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool behind = (parts[i] * n - had[i] * whole) * unit >= whole;
    if (behind && (best == parts.size() || due(i) * parts[best] < due(best) * parts[i])) best = i;
  }
  return best;
}

}  // namespace

Mixture::Mixture(std::span<const double> weights) : parts_(parts_of(weights)) {
  const int64_t whole = std::accumulate(parts_.begin(), parts_.end(), int64_t{0});
  std::vector<int64_t> had(parts_.size(), 0);
  turns_.reserve(static_cast<size_t>(whole));
  for (int64_t n = 1; n <= whole; ++n) {
    const size_t stream = next_turn(parts_, whole, had, n);
    SWITCHYARD_CHECK(stream < parts_.size(), "nobody is behind at turn {} of {}", n, whole);
    turns_.push_back({static_cast<int32_t>(stream), static_cast<int32_t>(had[stream]++)});
  }
}

Mixture::Turn Mixture::turn(int64_t position) const {
  const StoredTurn& turn = turns_[static_cast<size_t>(position % period())];
  return {turn.stream, position / period() * parts_[static_cast<size_t>(turn.stream)] + turn.index};
}

}  // namespace switchyard
