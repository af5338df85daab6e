#include "jobs/score/document_joiner.h"

#include <algorithm>
#include <utility>

namespace switchyard {

void DocumentCursor::next() {
  SWITCHYARD_CHECK(!at_end(), "behind the last of {} documents", index_);
  ++index_;
  if (++place_ + 1 >= offsets_.size()) look();
}

/// Reads on from the document that it is at.
void DocumentCursor::look() {
  constexpr int64_t kBlock = int64_t{1} << 16;
  offsets_ = input_->document_offsets(index_, std::min(kBlock, input_->num_documents() - index_));
  place_ = 0;
}

DocumentJoiner::DocumentJoiner(const ScoringInput* input, ResultOptions options, int64_t first)
    : options_(std::move(options)), row_(options_) {
  if (input != nullptr && input->joined()) cursor_.emplace(*input, first);
}

ChunkResult DocumentJoiner::add(ChunkResult pieces) {
  if (!cursor_) return pieces;
  ChunkResult documents;
  documents.chunk = pieces.chunk;
  documents.first_record = cursor_->index();
  documents.input_hash = pieces.input_hash;
  documents.accepted = ResultRows(options_);
  documents.expert_tokens = std::move(pieces.expert_tokens);
  int64_t row = 0;
  auto rejected = pieces.rejects.begin();
  for (int64_t piece = pieces.first_record; piece < pieces.first_record + pieces.num_records; ++piece) {
    if (rejected != pieces.rejects.end() && rejected->record == piece) {
      reject(*rejected++);
    } else {
      if (reason_.empty()) row_.join(pieces.accepted, row);
      ++row;
    }
    if (piece + 1 == cursor_->end()) end_document(documents);
  }
  documents.num_records = cursor_->index() - documents.first_record;
  return documents;
}

void DocumentJoiner::reject(const Reject& piece) {
  if (!reason_.empty()) return;
  const int64_t num_pieces = cursor_->end() - cursor_->begin();
  reason_ = num_pieces == 1
                ? piece.reason
                : fmt::format("piece {} of {}: {}", piece.record - cursor_->begin() + 1, num_pieces, piece.reason);
}

void DocumentJoiner::end_document(ChunkResult& documents) {
  if (reason_.empty()) {
    documents.accepted.append(row_, 0);
    documents.accepted.renumber_last(cursor_->index());
  } else {
    documents.rejects.push_back({cursor_->index(), std::exchange(reason_, {})});
  }
  row_ = ResultRows(options_);
  cursor_->next();
}

}  // namespace switchyard
