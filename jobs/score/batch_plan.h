// Which records of a chunk are computed together, on which rank.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace switchyard {

/// steps[s][r]: the records (indices into `lengths`) that rank r computes in step s; longest first, every record once.
using BatchPlan = std::vector<std::vector<std::vector<int>>>;

/// As few steps as keep every batch within `capacity` tokens (a longer record is a batch of its own), loads evened out
/// over all batches by longest-processing-time-first. Depends on its arguments alone, so that all ranks plan alike.
BatchPlan plan_batches(std::span<const int64_t> lengths, int num_ranks, int64_t capacity);

}  // namespace switchyard
