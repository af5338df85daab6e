#include "io/record_ids.h"

namespace switchyard {

RecordIds::RecordIds(const h5::Dataset& ids, int64_t first, int64_t count) {
  if (ids.kind() == h5::Kind::string) {
    ids_ = ids.read_strings(first, count);
  } else {
    std::vector<int64_t> integers(static_cast<size_t>(count));
    ids.read(first, std::span(integers));
    ids_ = std::move(integers);
  }
}

RecordIds::RecordIds(const ScoringInput& input) {
  if (!input.ids_are_strings()) ids_ = std::vector<int64_t>();
}

void RecordIds::append(const RecordIds& others, int64_t i) {
  const auto at = static_cast<size_t>(i);
  if (are_strings())
    std::get<0>(ids_).push_back(others.strings()[at]);
  else
    std::get<1>(ids_).push_back(others.integers()[at]);
}

Hash128 RecordIds::hash() const {
  Hasher hasher;
  hasher.update(are_strings() ? std::string_view("strings") : std::string_view("integers"));
  if (!are_strings()) hasher.update(std::span<const int64_t>(integers()));
  if (are_strings())
    for (const std::string& id : strings()) {
      const uint64_t size = id.size();  // so that no two lists of ids are the same bytes
      hasher.update(&size, sizeof size);
      hasher.update(id);
    }
  return hasher.digest();
}

Json RecordIds::json(int64_t i) const {
  const auto at = static_cast<size_t>(i);
  return are_strings() ? Json(strings()[at]) : Json(integers()[at]);
}

}  // namespace switchyard
