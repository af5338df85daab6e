#include "io/piece_reader.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace switchyard {
namespace {

constexpr size_t kBlockTokens = size_t{1} << 16;

}  // namespace

PieceReader::PieceReader(const SplitOptions& options, TokenReader read)
    : options_(options),
      read_(std::move(read)),
      num_bos_(options.bos >= 0 ? 1 : 0),
      max_tokens_(static_cast<size_t>(options.max_tokens)) {
  SWITCHYARD_CHECK(options.overlap >= 0 && options.overlap + static_cast<int64_t>(num_bos_) < options.max_tokens,
                   "pieces of {} tokens with an overlap of {} and {} bos", options.max_tokens, options.overlap,
                   num_bos_);
  if (num_bos_ == 1) window_.push_back(static_cast<int32_t>(options.bos));
}

/// Reads until the window holds a whole piece and one token more, or the document ends.
void PieceReader::fill() {
  while (!ended_ && window_.size() <= max_tokens_) {
    const size_t before = window_.size();
    window_.resize(before + std::min(kBlockTokens, max_tokens_ + 1 - before));
    const size_t count = read_(std::span(window_).subspan(before));
    window_.resize(before + count);
    ended_ = count == 0;
  }
}

bool PieceReader::next(Piece& piece) {
  const auto overlap = static_cast<size_t>(options_.overlap);
  if (next_index_ > 0) {
    if (ended_) return false;
    // The window keeps bos, then the overlap and the one token beyond the piece before.
    window_.erase(window_.begin() + static_cast<ptrdiff_t>(num_bos_),
                  window_.end() - static_cast<ptrdiff_t>(overlap + 1));
  }
  fill();
  if (window_.size() == num_bos_) return false;
  const size_t given = num_bos_ + (next_index_ > 0 ? overlap : 0);
  piece.tokens = std::span(window_).first(std::min(window_.size(), max_tokens_));
  piece.context = static_cast<int64_t>(std::max<size_t>(given, 1));
  piece.index = next_index_++;
  piece.last = window_.size() <= max_tokens_;
  return true;
}

}  // namespace switchyard
