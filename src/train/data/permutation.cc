#include "train/data/permutation.h"

#include <algorithm>
#include <bit>

#include "base/error.h"
#include "base/rng.h"

namespace switchyard {
namespace {

constexpr uint64_t kRounds = 8;
constexpr int kLeastHalfBits = 3;  // halves of fewer bits have too few functions to choose from

}  // namespace

Permutation::Permutation(int64_t size, uint64_t key) : size_(size), key_(key) {
  SWITCHYARD_CHECK(size >= 1, "a permutation of {}", size);
  half_bits_ = std::max(kLeastHalfBits, static_cast<int>(std::bit_width(static_cast<uint64_t>(size - 1)) + 1) / 2);
}

int64_t Permutation::operator()(int64_t i) const {
  SWITCHYARD_CHECK(i >= 0 && i < size_, "{} of {}", i, size_);
  auto value = static_cast<uint64_t>(i);
  do value = shuffle(value);
  while (value >= static_cast<uint64_t>(size_));
  return static_cast<int64_t>(value);
}

uint64_t Permutation::shuffle(uint64_t value) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = value >> half_bits_, right = value & mask;
  for (uint64_t round = 0; round < kRounds; ++round) {
    const uint64_t mixed = left ^ (random_bits(random_bits(key_, round), right) & mask);
    left = right;
    right = mixed;
  }
  return left << half_bits_ | right;
}

}  // namespace switchyard
