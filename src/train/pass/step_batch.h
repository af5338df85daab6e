// This rank's part of a training step: its records, in slices.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/slice_tree.h"
#include "model/batch.h"

namespace switchyard {

struct StepBatch {
  int64_t step = 0;                                  ///< counted from 1
  Batch batch;                                       ///< the tokens that are read: of each record all but the last
  SliceRange slices;                                 ///< this rank's
  std::vector<int64_t> slice_records, slice_tokens;  ///< [slices + 1] where each begins
  std::vector<int32_t> row, target;                  ///< what is learnt: the token behind row[i] of the batch
  std::vector<int64_t> slice_rows;                   ///< [slices + 1] of `row`
  std::vector<double> uniform =
      {};                       ///< [row] in [0, 1): targets are drawn by them from the model's softmax. Empty: given
  bool by_probability = false;  ///< a target's gradient counts times the root of its probability
  int64_t step_tokens = 0, step_targets = 0;  ///< of all ranks

  /// Of these slices; a slice's records follow begin_slice(), and end() the last one's.
  explicit StepBatch(const SliceRange& slices_) : slices(slices_) {}
  StepBatch() = default;
  void begin_slice();
  /// Tokens t₀ … t₍ₗ₋₁₎: all but the last are read, and what follows the first `context` is learnt.
  void add(std::span<const int32_t> tokens, int64_t context);
  void end() { begin_slice(); }

  /// To measure with: so many tokens, each a record of its own, all of them learnt from.
  static StepBatch measuring(const SliceRange& slices, int64_t tokens);

  /// Some whole slices, and what they have.
  struct Piece {
    SliceRange slices;
    int64_t first_record = 0, records = 0, first_token = 0, tokens = 0;
  };
  /// All slices, in pieces of at most `most_tokens` unless a slice has more.
  std::vector<Piece> pieces(int64_t most_tokens) const;
  /// Tokens of a piece, by slice, from the piece's first on.
  std::vector<int64_t> token_offsets(const Piece& piece) const;
  /// Where a piece's records begin, from its first token on: [records + 1].
  std::vector<int64_t> record_offsets(const Piece& piece) const;
};

}  // namespace switchyard
