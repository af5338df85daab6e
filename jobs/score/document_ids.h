// The ids of an input's documents: each is called what its first record is.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "io/input.h"
#include "io/record_ids.h"
#include "run/work_units.h"

namespace switchyard {

/// Reads the ids of all records once, from the first on, of which a block is in memory.
class DocumentIds {
 public:
  /// Of an input that has ids. hashes: by chunk, what its records' ids must be (IdHasher); empty: whatever. `poll` is
  /// called after each block.
  DocumentIds(const ScoringInput& input, const WorkUnits& chunks, std::span<const Hash128> hashes = {},
              std::function<void()> poll = {});

  /// Of the documents that begin with these records, which rise from call to call. Fails (input) when the ids of a
  /// chunk that is behind them are not what they must be.
  RecordIds of(std::span<const int64_t> first_records);
  /// Reads what is left, so that all are compared.
  void finish();

 private:
  int64_t block_end() const { return block_first_ + block_size_; }
  void read_block();

  const ScoringInput& input_;
  const WorkUnits& chunks_;
  std::span<const Hash128> hashes_;
  std::function<void()> poll_;
  RecordIds block_;
  int64_t block_first_ = 0, block_size_ = 0;  ///< its records
  int64_t chunk_ = 0;                         ///< that the next block is of
  IdHasher hasher_;                           ///< of what has been read of it
};

}  // namespace switchyard
