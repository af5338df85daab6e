#include "import/document_source.h"

#include "base/error.h"

namespace switchyard {

Document document_of_line(const std::string& path, const std::string& name, const RawDocument& raw) {
  Document document;
  document.source = path;
  document.line = raw.number;
  document.id = fmt::format("{}:{}", name, raw.number);
  document.reject = raw.reject;
  return document;
}

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
