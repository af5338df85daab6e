// The largest of all ranks' numbers, exactly, without any rank having them all.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "comm/communicator.h"

namespace switchyard {

/// Units of one weight whose keys one rank has.
struct UnitRun {
  int64_t units = 0, weight = 1;
};

/// Which units are chosen: all with a larger key, and of each run the first few with that key.
struct ExactChoice {
  uint32_t threshold = 0;
  std::vector<int64_t> ties = {};  ///< [runs]
  int64_t weight = 0;              ///< of all that are chosen
};

/// visit(run, keys) for this rank's runs, each run's units in order, in pieces; the same ones each time.
using VisitKeys = std::function<void(const std::function<void(int64_t run, std::span<const uint32_t> keys)>& visit)>;

/// Of all ranks' units, the largest key first, ties in the order of runs and units: the longest row of them that weighs
/// at most `most`. runs: of all ranks, the same on all. Three histograms of 11, 11 and 10 bits, each one sum over
/// ranks. Collective; what visit_keys throws on some ranks, all throw.
ExactChoice choose_largest(Communicator& world, std::span<const UnitRun> runs, int64_t most,
                           const VisitKeys& visit_keys);

}  // namespace switchyard
