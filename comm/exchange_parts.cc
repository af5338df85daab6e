#include "comm/exchange_parts.h"

#include <algorithm>
#include <numeric>

namespace switchyard {
namespace {

/// [ranks] elements of each rank's parts.
std::vector<int64_t> counts(const PartsOfRanks& parts) {
  std::vector<int64_t> all;
  for (const auto& of_rank : parts) {
    all.push_back(0);
    for (const std::span<float> part : of_rank) all.back() += std::ssize(part);
  }
  return all;
}

/// One row of an element each, as the exchange takes them.
View rows(std::vector<float>& values) {
  return {values.data(), {std::ssize(values), 1}, DType::f32, Device::cpu};
}

}  // namespace

void exchange_parts(Communicator& world, const PartsOfRanks& from, const PartsOfRanks& to) {
  const std::vector<int64_t> sent_counts = counts(from), received_counts = counts(to);
  std::vector<float> sent, received(static_cast<size_t>(std::reduce(received_counts.begin(), received_counts.end())));
  sent.reserve(static_cast<size_t>(std::reduce(sent_counts.begin(), sent_counts.end())));
  for (const auto& of_rank : from)
    for (const std::span<float> part : of_rank) sent.insert(sent.end(), part.begin(), part.end());
  world.start_all_to_all_v(Stream{}, rows(sent), sent_counts, rows(received), received_counts).wait();
  const float* next = received.data();
  for (const auto& of_rank : to)
    for (const std::span<float> part : of_rank) {
      std::copy_n(next, part.size(), part.data());
      next += part.size();
    }
}

}  // namespace switchyard
