// Documents from JSON Lines.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "import/document_source.h"
#include "import/record_reader.h"
#include "io/line_reader.h"

namespace switchyard {

/// Bad lines become rejects, blank lines are skipped. A missing id becomes NAME:LINE.
class JsonlSource : public DocumentSource {
 public:
  /// name: in ids. poll: see ByteStream.
  JsonlSource(const std::string& path, std::string name, const EncodeRules& rules, uint64_t max_line_bytes,
              std::function<void()> poll = {});
  bool next(std::vector<RawDocument>& documents) override;
  Document encode(RawDocument raw) const override;
  std::optional<SourceIdentity> identity() const override;

 private:
  const std::string path_, name_;
  const RecordReader reader_;
  const uint64_t max_line_bytes_;
  LineReader lines_;
};

}  // namespace switchyard
