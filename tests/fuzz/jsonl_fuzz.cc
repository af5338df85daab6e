// A JSON Lines file, through to the pieces of its documents.
#include "base/log.h"
#include "io/json.h"
#include "io/jsonl_source.h"
#include "io/piece_reader.h"
#include "tests/fuzz/fuzz_support.h"

namespace switchyard {
namespace {

constexpr uint64_t kMaxLineBytes = 4096;
constexpr SplitOptions kSplit{.max_tokens = 16, .overlap = 3, .bos = 7};

void read_document(DocumentSource& source, const Document& document) {
  fuzz::require(is_utf8(document.id) && document.id.find('\0') == std::string::npos, "an id is text");
  PieceReader pieces(kSplit, [&](std::span<int32_t> out) { return source.read(out); });
  Piece piece;
  int64_t num_new = 0, num_pieces = 0;
  while (pieces.next(piece)) {
    const auto length = static_cast<int64_t>(piece.tokens.size());
    fuzz::require(piece.index == num_pieces++, "pieces are numbered");
    fuzz::require(length > piece.context && length <= kSplit.max_tokens,
                  "a piece has something new, and is not too long");
    for (const int32_t token : piece.tokens) fuzz::require(token >= 0, "token ids are not negative");
    num_new += length - piece.context;
  }
  fuzz::require(num_new > 0, "a document that is accepted has tokens");
  fuzz::require(!document.fixed || (document.fixed->tokens == num_new && document.fixed->context <= num_new),
                "a context is part of its record");
}

}  // namespace
}  // namespace switchyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  log::set_quiet(true);
  const fuzz::MemoryFile file(data, size);
  fuzz::only_input_errors([&] {
    JsonlSource source({file.path()}, find_tokenizer("bytes"), kMaxLineBytes);
    Document document;
    while (source.next(document))
      if (document.reject.empty()) read_document(source, document);
  });
  return 0;
}
