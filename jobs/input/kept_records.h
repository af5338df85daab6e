// Those of an input's records that are kept, numbered from 0: four bytes a record.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace switchyard {

class KeptRecords {
 public:
  /// lengths: of all records; 0: it is left out.
  explicit KeptRecords(std::vector<int32_t> lengths);

  int64_t size() const { return kept_before_.back(); }
  int64_t index(int64_t i) const;  ///< of the i-th kept record among all
  int64_t length(int64_t index) const { return lengths_[static_cast<size_t>(index)]; }
  const std::vector<int32_t>& lengths() const { return lengths_; }

 private:
  std::vector<int32_t> lengths_;
  std::vector<int64_t> kept_before_;  ///< [blocks + 1]: kept ones before each block of so many records
};

}  // namespace switchyard
