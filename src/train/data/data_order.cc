#include "train/data/data_order.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/rng.h"
#include "train/data/permutation.h"

namespace switchyard {
namespace {

std::vector<int64_t> laid_end_to_end(const std::vector<int64_t>& sizes) {
  std::vector<int64_t> first = {0};
  for (const int64_t size : sizes) {
    SWITCHYARD_CHECK(size >= 1, "a dataset of {} records", size);
    first.push_back(first.back() + size);
  }
  return first;
}

}  // namespace

DataOrder::DataOrder(Options options)
    : options_(std::move(options)),
      first_(laid_end_to_end(options_.sizes)),
      mixture_(options_.weights.empty() ? std::vector<double>{1} : options_.weights) {
  SWITCHYARD_CHECK(options_.weights.empty() || options_.weights.size() == options_.sizes.size(),
                   "{} weights of {} datasets", options_.weights.size(), options_.sizes.size());
}

RecordPlace DataOrder::place(int64_t position) const {
  const auto [collection, index] = mixture_.turn(position);
  const auto c = static_cast<size_t>(collection);
  const int64_t begin = first_[c], end = options_.weights.empty() ? first_.back() : first_[c + 1], size = end - begin;
  const int64_t epoch = index / size;
  int64_t record = begin + index % size;
  if (options_.order == RecordOrder::shuffled) {
    const uint64_t key =
        random_bits(random_bits(options_.seed, static_cast<uint64_t>(collection)), static_cast<uint64_t>(epoch));
    record = begin + Permutation(size, key)(index % size);
  }
  const auto dataset = std::ranges::upper_bound(first_, record) - first_.begin() - 1;
  return {dataset, record - first_[static_cast<size_t>(dataset)]};
}

std::vector<RecordPlace> DataOrder::records(int64_t step) const {
  SWITCHYARD_CHECK(step >= 1, "step {}", step);
  std::vector<RecordPlace> records;
  for (int64_t i = 0; i < options_.step_records; ++i) records.push_back(place((step - 1) * options_.step_records + i));
  return records;
}

int64_t DataOrder::steps_in(int64_t epochs) const {
  int64_t records = 0;
  if (__builtin_mul_overflow(num_records(), epochs, &records) || records > INT64_MAX - options_.step_records)
    fail(ExitCode::usage, "--epochs {}: {} records so often are more than can be counted", epochs, num_records());
  return (records + options_.step_records - 1) / options_.step_records;
}

}  // namespace switchyard
