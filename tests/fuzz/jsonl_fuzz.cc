// A JSON Lines file, through to the pieces of its documents.
#include "base/log.h"
#include "import/jsonl_source.h"
#include "import/pieces.h"
#include "io/json.h"
#include "tests/fuzz/fuzz_support.h"
#include "tests/support/read_documents.h"

namespace switchyard {
namespace {

constexpr uint64_t kMaxLineBytes = 4096;
constexpr SplitOptions kSplit{.max_tokens = 16, .overlap = 3};

void check_document(const Document& document) {
  fuzz::require(is_utf8(document.id) && document.id.find('\0') == std::string::npos, "an id is text");
  int64_t num_new = 0, num_pieces = 0;
  PieceSplitter splitter(kSplit, [&](const Piece& piece) {
    const auto length = std::ssize(piece.tokens);
    fuzz::require(piece.index == num_pieces++, "pieces are numbered");
    fuzz::require(length > piece.context && length <= kSplit.max_tokens,
                  "a piece has something new, and is not too long");
    for (const int32_t token : piece.tokens) fuzz::require(token >= 0, "token ids are not negative");
    num_new += length - piece.context;
  });
  splitter.begin({{7}, {}});
  splitter.add(document.tokens);
  splitter.end();
  fuzz::require(num_new > 0, "a document that is accepted has tokens");
  fuzz::require(num_new == std::ssize(document.tokens), "every token is new once");
  fuzz::require(!document.context || *document.context <= num_new, "a context is part of its record");
}

}  // namespace
}  // namespace switchyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  log::set_quiet(true);
  const fuzz::MemoryFile file(data, size);
  fuzz::only_input_errors([&] {
    JsonlSource source(file.path(), "f", test::byte_rules(), kMaxLineBytes);
    for (const Document& document : test::read_documents(source))
      if (document.reject.empty()) check_document(document);
  });
  return 0;
}
