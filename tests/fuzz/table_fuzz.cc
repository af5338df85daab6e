// A table, as CSV and as TSV, through to its documents.
#include <algorithm>

#include "base/log.h"
#include "import/table_source.h"
#include "io/json.h"
#include "tests/fuzz/fuzz_support.h"
#include "tests/support/read_documents.h"

namespace switchyard {
namespace {

constexpr uint64_t kMaxRowBytes = 256;

void check_documents(TableSource& source, size_t bytes) {
  int64_t line = 1;
  for (const Document& document : test::read_documents(source)) {
    fuzz::require(document.line > line, "documents are in the order of their lines, behind the columns' names");
    line = *document.line;
    fuzz::require(is_utf8(document.id), "an id is text");
    fuzz::require(document.reject.empty() != document.tokens.empty(), "a document has tokens, or is a reject");
    fuzz::require(document.tokens.size() <= kMaxRowBytes, "a document is no longer than its row");
    fuzz::require(document.context.value_or(0) <= std::ssize(document.tokens), "a context is part of its record");
  }
  fuzz::require(source.identity()->bytes == bytes, "all of it was read");
}

}  // namespace
}  // namespace switchyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  log::set_quiet(true);
  const fuzz::MemoryFile file(data, size);
  for (const char separator : {',', '\t'})
    fuzz::only_input_errors([&] {
      TableSource source(file.path(), "t", separator, test::byte_rules(), kMaxRowBytes);
      check_documents(source, size);
    });
  return 0;
}
