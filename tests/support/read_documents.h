// Everything a DocumentSource yields, for comparing with what it should.
#pragma once

#include <vector>

#include "io/document_source.h"

namespace switchyard::test {

struct ReadDocument {
  Document document;
  std::vector<int32_t> tokens;
};

/// `block`: tokens asked for at a time.
inline std::vector<ReadDocument> read_documents(DocumentSource& source, size_t block = 1000) {
  std::vector<ReadDocument> documents;
  Document document;
  while (source.next(document)) {
    auto& read = documents.emplace_back(ReadDocument{document, {}});
    if (!document.reject.empty()) continue;
    std::vector<int32_t> buffer(block);
    while (const size_t count = source.read(buffer))
      read.tokens.insert(read.tokens.end(), buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(count));
  }
  return documents;
}

}  // namespace switchyard::test
