#include "model/batch.h"

#include <numeric>

namespace switchyard {

Batch Batch::of_single_tokens(int64_t tokens) {
  const auto count = static_cast<size_t>(tokens);
  Batch batch;
  batch.ids.resize(count);
  batch.positions.resize(count);
  batch.record_offsets.resize(count + 1);
  std::iota(batch.record_offsets.begin(), batch.record_offsets.end(), int64_t{0});
  return batch;
}

void Batch::add(std::span<const int32_t> record) {
  ids.insert(ids.end(), record.begin(), record.end());
  for (size_t i = 0; i < record.size(); ++i) positions.push_back(static_cast<int32_t>(i));
  record_offsets.push_back(tokens());
}

void Batch::clear() {
  *this = Batch();
}

}  // namespace switchyard
