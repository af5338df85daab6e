#include "train/selection/exact_choice.h"

#include <algorithm>
#include <array>

#include "comm/collectively.h"

namespace switchyard {
namespace {

constexpr int kMostBits = 11;

/// Bits [shift, shift + bits) of a key.
struct Digit {
  int shift, bits;
};
constexpr std::array<Digit, 3> kDigits = {{{21, 11}, {10, 11}, {0, 10}}};

}  // namespace

ExactChoice choose_largest(Communicator& world, std::span<const UnitRun> runs, int64_t most,
                           const VisitKeys& visit_keys) {
  ExactChoice choice;
  for (const Digit& digit : kDigits) {
    // By digit, of those whose digits before it are the threshold's: what they weigh.
    std::vector<int64_t> weights(size_t{1} << kMostBits);
    const uint64_t before = uint64_t{choice.threshold} >> digit.shift >> digit.bits;
    collectively(world, [&] {
      visit_keys([&](int64_t run, std::span<const uint32_t> keys) {
        const int64_t weight = runs[static_cast<size_t>(run)].weight;
        for (const uint32_t key : keys) {
          const uint64_t rest = uint64_t{key} >> digit.shift;
          if (rest >> digit.bits == before) weights[rest & ((size_t{1} << digit.bits) - 1)] += weight;
        }
      });
    });
    world.all_reduce({weights.data(), {std::ssize(weights)}, DType::i64}, ReduceOp::sum);
    uint32_t value = (1u << digit.bits) - 1;
    // Down to the digit at which it would be too much; where there is none, everything is chosen.
    for (; value > 0 && choice.weight + weights[value] <= most; --value) choice.weight += weights[value];
    choice.threshold |= value << digit.shift;
  }

  std::vector<int64_t> ties(runs.size());
  collectively(world, [&] {
    visit_keys([&](int64_t run, std::span<const uint32_t> keys) {
      ties[static_cast<size_t>(run)] += std::ranges::count(keys, choice.threshold);
    });
  });
  world.all_reduce({ties.data(), {std::ssize(ties)}, DType::i64}, ReduceOp::sum);
  choice.ties.resize(runs.size());
  for (size_t i = 0; i < runs.size(); ++i) {
    choice.ties[i] = std::min(ties[i], (most - choice.weight) / runs[i].weight);
    choice.weight += choice.ties[i] * runs[i].weight;
    if (choice.ties[i] < ties[i]) break;
  }
  return choice;
}

}  // namespace switchyard
