#include "model/batch.h"

namespace switchyard {

void Batch::add(std::span<const int32_t> record) {
  ids.insert(ids.end(), record.begin(), record.end());
  for (size_t i = 0; i < record.size(); ++i) positions.push_back(static_cast<int32_t>(i));
  record_offsets.push_back(tokens());
}

void Batch::clear() {
  *this = Batch();
}

}  // namespace switchyard
