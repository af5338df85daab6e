#include "import/document_source.h"

#include "base/error.h"

namespace switchyard {

void or_reject(Document& document, const std::function<void()>& read) {
  try {
    read();
  } catch (const Error& error) {
    if (error.code() != ExitCode::input) throw;
    document.reject = error.what();
    document.tokens.clear();
  }
}

SourceIdentity identity_of(const std::string& path, const ByteStream& bytes) {
  return {.path = path, .bytes = bytes.position(), .hash = bytes.hash()};
}

}  // namespace switchyard
