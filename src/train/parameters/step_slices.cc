#include "train/parameters/step_slices.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "base/error.h"

namespace switchyard {

int64_t default_slices(int64_t step_tokens) {
  constexpr uint64_t kLeast = 8, kTokens = 4096;
  const uint64_t wanted = std::bit_floor(static_cast<uint64_t>(step_tokens) / kTokens);
  return static_cast<int64_t>(std::clamp(wanted, kLeast, static_cast<uint64_t>(kMaxSlices)));
}

std::vector<int64_t> cut_into_slices(std::span<const int64_t> tokens, int64_t slices) {
  const int64_t total = std::accumulate(tokens.begin(), tokens.end(), int64_t{0});
  SWITCHYARD_CHECK(slices >= 1 && slices <= kMaxSlices && total < INT64_MAX / (2 * slices), "{} tokens in {} slices",
                   total, slices);
  std::vector<int64_t> ends(static_cast<size_t>(slices) + 1, std::ssize(tokens));
  int64_t before = 0, begun = 0;  // tokens before the record; slices that begin at it or earlier
  for (size_t r = 0; r < tokens.size(); ++r) {
    const int64_t slice = slices * (2 * before + tokens[r]) / (2 * total);
    for (; begun <= slice; ++begun) ends[static_cast<size_t>(begun)] = static_cast<int64_t>(r);
    before += tokens[r];
  }
  return ends;
}

std::vector<int64_t> a_record_a_slice(int64_t records, int64_t slices) {
  SWITCHYARD_CHECK(records <= slices && slices <= kMaxSlices, "{} records in {} slices, one in each", records, slices);
  std::vector<int64_t> ends;
  for (int64_t slice = 0; slice <= slices; ++slice) ends.push_back((slice * records + slices - 1) / slices);
  return ends;
}

SliceRange slices_of_rank(int64_t slices, int rank, int ranks) {
  return {slices * rank / ranks, slices * (rank + 1) / ranks};
}

}  // namespace switchyard
