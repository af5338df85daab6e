#include "jobs/input/kept_records.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace switchyard {
namespace {

constexpr size_t kBlock = 256;

}  // namespace

KeptRecords::KeptRecords(std::vector<int32_t> lengths) : lengths_(std::move(lengths)) {
  int64_t kept = 0;
  for (size_t i = 0; i < lengths_.size(); ++i) {
    if (i % kBlock == 0) kept_before_.push_back(kept);
    kept += lengths_[i] > 0;
  }
  kept_before_.push_back(kept);
}

int64_t KeptRecords::index(int64_t i) const {
  SWITCHYARD_CHECK(i >= 0 && i < size(), "record {} of {}", i, size());
  const auto block = std::ranges::upper_bound(kept_before_, i) - kept_before_.begin() - 1;
  auto index = static_cast<size_t>(block) * kBlock;
  for (int64_t left = i - kept_before_[static_cast<size_t>(block)]; left > 0 || lengths_[index] == 0; ++index)
    left -= lengths_[index] > 0;
  return static_cast<int64_t>(index);
}

}  // namespace switchyard
