// From records to documents. An input may say which records are pieces of one document (see ScoringInput); they are
// scored each by itself, and a result is the document's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/input.h"
#include "jobs/score/shard.h"

namespace switchyard {

/// Goes from one document of an input to the next, from the first on.
class DocumentCursor {
 public:
  explicit DocumentCursor(const ScoringInput& input, int64_t first = 0) : input_(&input), index_(first) { look(); }

  int64_t index() const { return index_; }  ///< of the document; behind the last their number
  bool at_end() const { return index_ == input_->num_documents(); }
  int64_t begin() const { return offsets_[place_]; }  ///< its records are [begin, end)
  int64_t end() const { return offsets_[place_ + 1]; }
  /// Fails (input) on offsets that do not rise.
  void next();

 private:
  void look();

  const ScoringInput* input_;
  int64_t index_;
  size_t place_ = 0;
  std::vector<int64_t> offsets_;  ///< of some documents, this one at place_
};

/// Takes a run's chunks of records, in order, and gives back the documents that end in each, as a chunk whose records
/// they are. What is in memory of a document that goes on is its row so far.
///
/// A document's row is its pieces' in the order of the pieces, column by column (ResultColumn::join). If one of them
/// was rejected the document is, for the first one's reason, which then names the piece.
class DocumentJoiner {
 public:
  /// Of an input that is not joined, or of none (null), every record is a document: chunks come back as they are.
  /// first: the document with which the first chunk begins.
  DocumentJoiner(const ScoringInput* input, ResultOptions options, int64_t first = 0);

  ChunkResult add(ChunkResult pieces);

 private:
  void reject(const Reject& piece);
  void end_document(ChunkResult& documents);

  std::optional<DocumentCursor> cursor_;  ///< empty: records are documents
  ResultOptions options_;
  ResultRows row_;      ///< of the pieces so far of the document that the cursor is at
  std::string reason_;  ///< of the first of them that was rejected
};

}  // namespace switchyard
