#include "model/delta/delta_diff.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "model/checkpoint/part_reader.h"

namespace switchyard {
namespace {

constexpr uint64_t kElementsAtOnce = uint64_t{1} << 20;

const SparseValues* changed_of(const DeltaFile& delta, const std::string& name) {
  const DeltaTensor* tensor = delta.find(name);
  return tensor == nullptr ? nullptr : tensor->changed.get();
}

/// Elements [first, first + bits.size()) with their changed bits; 0 where nothing changes.
void spread(const SparseValues* changed, uint64_t first, std::span<uint32_t> bits) {
  std::ranges::fill(bits, 0u);
  if (changed == nullptr) return;
  const size_t size = changed->value_bytes();
  changed->visit(first, first + bits.size(),
                 [&](std::span<const uint64_t> elements, std::span<const std::byte> values) {
                   for (size_t i = 0; i < elements.size(); ++i)
                     std::memcpy(&bits[static_cast<size_t>(elements[i] - first)], &values[i * size], size);
                 });
}

DeltaOverlap compare(const SparseValues* a, const SparseValues* b) {
  DeltaOverlap overlap;
  const uint64_t end = std::max(a == nullptr ? 0 : a->end(), b == nullptr ? 0 : b->end());
  std::vector<uint32_t> bits_a, bits_b;
  for (uint64_t first = 0; first < end; first += kElementsAtOnce) {
    const auto count = static_cast<size_t>(std::min(kElementsAtOnce, end - first));
    const auto of_a = first_of(bits_a, count), of_b = first_of(bits_b, count);
    spread(a, first, of_a);
    spread(b, first, of_b);
    for (size_t i = 0; i < count; ++i) {
      if (of_a[i] == 0 && of_b[i] == 0) continue;
      ++(of_b[i] == 0         ? overlap.only_first
         : of_a[i] == 0       ? overlap.only_second
         : of_a[i] == of_b[i] ? overlap.alike
                              : overlap.otherwise);
    }
  }
  return overlap;
}

}  // namespace

DeltaOverlap& DeltaOverlap::operator+=(const DeltaOverlap& other) {
  only_first += other.only_first;
  only_second += other.only_second;
  alike += other.alike;
  otherwise += other.otherwise;
  return *this;
}

DeltaDifference compare_deltas(const DeltaFile& first, const DeltaFile& second) {
  DeltaDifference difference;
  if (first.base() != second.base()) {
    difference.successive = first.result() == second.base() || second.result() == first.base();
    if (!difference.successive)
      fail(ExitCode::input,
           "{} and {}: expected deltas of one base, or one that follows the other, found bases {} and {}",
           first.path().native(), second.path().native(), first.base(), second.base());
  }
  std::set<std::string> names;
  for (const DeltaFile* delta : {&first, &second})
    for (const auto& [name, tensor] : delta->tensors()) names.insert(name);
  for (const std::string& name : names) {
    const SparseValues *a = changed_of(first, name), *b = changed_of(second, name);
    if (a != nullptr && b != nullptr && a->value_bytes() != b->value_bytes())
      fail(ExitCode::input, "tensor {}: {} has bits of {} bytes for it, {} of {}", name, first.path().native(),
           a->value_bytes(), second.path().native(), b->value_bytes());
    difference.tensors[name] = compare(a, b);
    difference.all += difference.tensors[name];
  }
  return difference;
}

}  // namespace switchyard
