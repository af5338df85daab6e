#include "jobs/score/document_ids.h"

#include <algorithm>
#include <utility>

namespace switchyard {

DocumentIds::DocumentIds(const ScoringInput& input, const WorkUnits& chunks, std::span<const Hash128> hashes,
                         std::function<void()> poll)
    : input_(input), chunks_(chunks), hashes_(hashes), poll_(std::move(poll)), block_(input) {}

RecordIds DocumentIds::of(std::span<const int64_t> first_records) {
  RecordIds ids(input_);
  for (const int64_t record : first_records) {
    SWITCHYARD_CHECK(record >= block_first_ && record < input_.num_records(), "record {} is behind, or not there",
                     record);
    while (record >= block_end()) read_block();
    ids.append(block_, record - block_first_);
  }
  return ids;
}

void DocumentIds::finish() {
  while (block_end() < input_.num_records()) read_block();
}

/// Blocks begin anew with every chunk, as they were hashed.
void DocumentIds::read_block() {
  const int64_t first = chunks_.first_item(chunk_), end = first + chunks_.items_in(chunk_);
  block_first_ = block_end();
  block_size_ = std::min(IdHasher::kBlock, end - block_first_);
  block_ = RecordIds(input_, block_first_, block_size_);
  hasher_.add(block_);
  if (poll_) poll_();
  if (block_end() < end) return;
  if (!hashes_.empty() && hasher_.digest() != hashes_[static_cast<size_t>(chunk_)])
    fail(ExitCode::input, "{}: the ids of records {} to {} changed while the run went on", input_.path().native(),
         first, end - 1);
  hasher_ = {};
  ++chunk_;
}

}  // namespace switchyard
