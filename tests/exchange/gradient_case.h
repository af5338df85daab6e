// A step's tokens in slices, whose rows and gradients are functions of the token's global id, so that any rank can
// verify any row.
#pragma once

#include <functional>
#include <set>
#include <vector>

#include "exchange/gradient_exchange.h"
#include "tests/exchange/exchange_case.h"

namespace switchyard::test {

std::vector<SliceRange> shared_out(const SliceRange& slices, int ranks);  ///< as evenly as can be

struct GradientCase {
  ExchangeCase rows = {.dim = 3};  ///< experts, routing, placement, rows and budget
  SliceRange slices = {0, 8};
  std::function<int64_t(int64_t slice)> tokens_of = [](int64_t slice) { return slice == 3 ? 0 : 2 + slice * 5 % 7; };
  std::function<std::vector<SliceRange>(const SliceRange& slices, int ranks)> share = shared_out;
};

GradientExchangeShape shape_of(const GradientCase& c, int num_ranks);

/// What came of one pass through all windows.
struct GradientResult {
  GradientCounters counters;
  GradientScratch scratch;
  size_t arena_used = 0;
  int64_t most_rows = 0;   ///< of a window of this rank
  bool any_parts = false;  ///< whether some expert of any rank was cut
};

/// Goes through all windows. Verifies that the rows of each are this rank's experts', all of them, in order; that each
/// slice of each expert is in one window; that the gradients come back, each to its (token, slot).
GradientResult run_gradients(Communicator& group, GradientExchange& exchange, const GradientCase& c);
GradientResult run_gradients(Communicator& group, const GradientCase& c);

}  // namespace switchyard::test
