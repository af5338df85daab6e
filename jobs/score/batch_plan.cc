#include "jobs/score/batch_plan.h"

#include <algorithm>
#include <numeric>
#include <queue>

#include "base/error.h"

namespace switchyard {
namespace {

struct Bin {
  int64_t load;
  size_t index;
  bool operator>(const Bin& other) const { return load != other.load ? load > other.load : index > other.index; }
};

/// Longest first, each into the emptiest bin. Empty when a bin of several records would pass the capacity.
std::vector<std::vector<int>> fill_bins(std::span<const int64_t> lengths, std::span<const int> longest_first,
                                        size_t num_bins, int64_t capacity) {
  std::vector<std::vector<int>> bins(num_bins);
  std::priority_queue<Bin, std::vector<Bin>, std::greater<>> emptiest;
  for (size_t i = 0; i < num_bins; ++i) emptiest.push({0, i});
  for (const int record : longest_first) {
    Bin bin = emptiest.top();
    emptiest.pop();
    const int64_t length = lengths[static_cast<size_t>(record)];
    if (!bins[bin.index].empty() && bin.load + length > capacity) return {};
    bins[bin.index].push_back(record);
    emptiest.push({bin.load + length, bin.index});
  }
  return bins;
}

}  // namespace

BatchPlan plan_batches(std::span<const int64_t> lengths, int num_ranks, int64_t capacity) {
  SWITCHYARD_CHECK(num_ranks >= 1 && capacity >= 1, "{} ranks, capacity {}", num_ranks, capacity);
  if (lengths.empty()) return {};
  std::vector<int> longest_first(lengths.size());
  std::iota(longest_first.begin(), longest_first.end(), 0);
  std::stable_sort(longest_first.begin(), longest_first.end(),
                   [&](int a, int b) { return lengths[static_cast<size_t>(a)] > lengths[static_cast<size_t>(b)]; });

  const auto ranks = static_cast<size_t>(num_ranks);
  const int64_t total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  auto num_steps =
      static_cast<size_t>(std::max<int64_t>(1, (total + capacity * num_ranks - 1) / (capacity * num_ranks)));
  std::vector<std::vector<int>> bins;
  while (bins.empty()) {
    bins = fill_bins(lengths, longest_first, num_steps * ranks, capacity);
    num_steps += bins.empty() ? 1 + num_steps / 16 : 0;
  }

  // Batches of like load share a step, so that no rank waits for a longer one.
  const auto load = [&](const std::vector<int>& bin) {
    return std::accumulate(bin.begin(), bin.end(), int64_t{0},
                           [&](int64_t sum, int record) { return sum + lengths[static_cast<size_t>(record)]; });
  };
  std::stable_sort(bins.begin(), bins.end(), [&](const auto& a, const auto& b) { return load(a) > load(b); });
  BatchPlan steps;
  for (size_t i = 0; i < bins.size() && !bins[i].empty(); i += ranks)
    steps.emplace_back(bins.begin() + static_cast<std::ptrdiff_t>(i),
                       bins.begin() + static_cast<std::ptrdiff_t>(i + ranks));
  return steps;
}

}  // namespace switchyard
