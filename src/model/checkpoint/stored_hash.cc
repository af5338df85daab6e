#include "model/checkpoint/stored_hash.h"

#include <algorithm>
#include <numeric>

namespace switchyard {

StoredParts::StoredParts(const TensorTable& table) {
  std::vector<int> experts(static_cast<size_t>(table.config().num_experts()));
  std::iota(experts.begin(), experts.end(), 0);
  const auto add = [&](const StoredMatrix& matrix) {
    parts_[matrix.tensor->name].push_back({matrix.id, matrix.first_byte, matrix.first_byte + matrix.bytes});
  };
  for_each_tensor(table.config(), experts, nullptr, [&](const StoredTensor& tensor) {
    if (tensor.tied) return;
    for (const TensorPart& part : table.parts_of(tensor)) {
      add(part.weights);
      if (part.scales) add(*part.scales);
    }
  });
  for (auto& [name, parts] : parts_) std::ranges::sort(parts, {}, &Part::first);
}

std::span<const StoredParts::Part> StoredParts::of(const TensorInfo& tensor) const {
  const auto at = parts_.find(tensor.name);
  return at == parts_.end() ? std::span<const Part>() : std::span<const Part>(at->second);
}

void StoredHasher::update(const TensorInfo& tensor, uint64_t first, std::span<const std::byte> bytes) {
  const auto parts = parts_.of(tensor);
  auto part = std::ranges::upper_bound(parts, first, {}, &StoredParts::Part::end);
  for (; !bytes.empty() && part != parts.end(); ++part) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(bytes.size(), part->end - first));
    hasher_.update(bytes.first(count));
    bytes = bytes.subspan(count);
    first += count;
    if (first < part->end) return;
    hashes_.push_back({part->id, hasher_.digest()});
    hasher_ = {};
  }
}

void StoredMasterHasher::add(const TensorInfo& tensor, uint64_t at, uint64_t element, float value) {
  if (&tensor != tensor_ || at >= end_) {
    end_part();
    const auto parts = parts_.of(tensor);
    const auto part = std::ranges::upper_bound(parts, at, {}, &StoredParts::Part::end);
    tensor_ = &tensor;
    part_ = part == parts.end() ? nullptr : &*part;
    end_ = part_ == nullptr ? tensor.bytes : part_->end;
  }
  if (part_ != nullptr) hasher_.add(element, value);  // else of a tied head's copy
}

void StoredMasterHasher::end_part() {
  if (const std::optional<Hash128> hash = hasher_.take()) hashes_.push_back({part_->id, *hash});
}

std::optional<Hash128> StoredMasterHasher::digest() {
  end_part();
  return hashes_.empty() ? std::nullopt : std::optional(combine_hashes(hashes_));
}

Hash128 hash_without_deltas(const TensorTable& table, const std::function<void()>& poll) {
  constexpr size_t kAtOnce = size_t{1} << 22;
  const StoredParts parts(table);
  StoredHasher hasher(parts);
  std::vector<std::byte> buffer;
  for (const auto& [name, tensor] : table.checkpoint().tensors()) {
    if (parts.of(tensor).empty()) continue;
    for (uint64_t first = 0; first < tensor.bytes; first += kAtOnce) {
      const auto bytes = first_of(buffer, static_cast<size_t>(std::min<uint64_t>(kAtOnce, tensor.bytes - first)));
      table.checkpoint().read_unpatched(tensor, first, bytes);
      hasher.update(tensor, first, bytes);
      if (poll) poll();
    }
  }
  return hasher.digest();
}

}  // namespace switchyard
