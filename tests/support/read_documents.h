// Everything a DocumentSource yields, for comparing with what it should.
#pragma once

#include <utility>
#include <vector>

#include "import/document_source.h"
#include "import/record_reader.h"

namespace switchyard::test {

/// Documents that come in parts are put together.
inline std::vector<Document> read_documents(DocumentSource& source) {
  std::vector<Document> documents;
  std::vector<RawDocument> batch;
  for (; source.next(batch); batch.clear())
    for (RawDocument& raw : batch) {
      Document document = source.encode(std::move(raw));
      if (document.begins) {
        documents.push_back(std::move(document));
        continue;
      }
      auto& tokens = documents.back().tokens;
      tokens.insert(tokens.end(), document.tokens.begin(), document.tokens.end());
      documents.back().ends = document.ends;
    }
  return documents;
}

/// Rules by which a byte is its own token.
inline const EncodeRules& byte_rules() {
  static const auto tokenizer = open_tokenizer("bytes");
  static const EncodeRules rules{tokenizer.get(), choose_framing("none", *tokenizer)};
  return rules;
}

}  // namespace switchyard::test
