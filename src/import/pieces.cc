#include "import/pieces.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace switchyard {

PieceSplitter::PieceSplitter(const SplitOptions& options, Sink sink) : options_(options), sink_(std::move(sink)) {}

void PieceSplitter::begin(const TokenFrame& frame) {
  SWITCHYARD_CHECK(options_.overlap >= 0 && options_.overlap + std::ssize(frame.before) < options_.max_tokens,
                   "pieces of {} tokens with an overlap of {} and {} before a text", options_.max_tokens,
                   options_.overlap, frame.before.size());
  frame_ = frame;
  piece_ = frame.before;
  given_ = piece_.size();
  previous_.clear();
  has_tokens_ = false;
  next_index_ = 0;
}

void PieceSplitter::add(std::span<const int32_t> tokens) {
  has_tokens_ = has_tokens_ || !tokens.empty();
  append(tokens);
}

void PieceSplitter::end() {
  if (!has_tokens_) return;
  append(frame_.behind);
  emit(true);
}

void PieceSplitter::append(std::span<const int32_t> tokens) {
  const auto max_tokens = static_cast<size_t>(options_.max_tokens);
  while (!tokens.empty()) {
    if (piece_.size() == max_tokens) {
      emit(false);
      begin_next_piece();
    }
    const size_t count = std::min(tokens.size(), max_tokens - piece_.size());
    piece_.insert(piece_.end(), tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(count));
    tokens = tokens.subspan(count);
  }
}

void PieceSplitter::emit(bool last) {
  if (last && options_.windows) reach_back();
  sink_({.tokens = piece_,
         .context = static_cast<int64_t>(std::max<size_t>(given_, 1)),
         .index = next_index_++,
         .last = last});
}

void PieceSplitter::begin_next_piece() {
  previous_.swap(piece_);
  piece_.clear();
  if (!options_.windows) piece_ = frame_.before;
  piece_.insert(piece_.end(), previous_.end() - options_.overlap, previous_.end());
  given_ = piece_.size();
}

/// The last window takes what stands before it as further context.
void PieceSplitter::reach_back() {
  if (next_index_ == 0) return;
  const auto room = options_.max_tokens - std::ssize(piece_);
  const auto end = previous_.end() - options_.overlap;
  piece_.insert(piece_.begin(), end - room, end);
  given_ += static_cast<size_t>(room);
}

}  // namespace switchyard
