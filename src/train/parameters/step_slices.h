// A step's records, cut into slices: runs of whole records of about as many tokens each. What is summed over tokens is
// summed by slice first (base/slice_tree.h), so that weights do not depend on who has which slices.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/slice_tree.h"

namespace switchyard {

/// The most that a step is cut into.
inline constexpr int64_t kMaxSlices = int64_t{1} << 16;

/// max(8, tokens ÷ 4,096 rounded down to a power of two): as small as is worth a rank's while.
int64_t default_slices(int64_t step_tokens);

/// [slices + 1]: slice i has the records [ends[i], ends[i+1]), maybe none. tokens: [records], positive. A record is in
/// the slice that its middle falls into where all tokens are divided evenly; so any run of slices has its share of the
/// tokens to within half a record at either end.
std::vector<int64_t> cut_into_slices(std::span<const int64_t> tokens, int64_t slices);

/// The same with at most a record in a slice, evenly among them. records ≤ slices.
std::vector<int64_t> a_record_a_slice(int64_t records, int64_t slices);

/// Of the rank-th of `ranks`; none for some where there are more ranks than slices.
SliceRange slices_of_rank(int64_t slices, int rank, int ranks);

}  // namespace switchyard
