#include "import/jsonl_source.h"

#include <utility>

#include "base/error.h"
#include "io/json.h"

namespace switchyard {

JsonlSource::JsonlSource(const std::string& path, std::string name, const EncodeRules& rules, uint64_t max_line_bytes,
                         std::function<void()> poll)
    : path_(path),
      name_(std::move(name)),
      reader_(rules),
      max_line_bytes_(max_line_bytes),
      lines_(path, max_line_bytes, std::move(poll)) {}

bool JsonlSource::next(std::vector<RawDocument>& documents) {
  for (size_t bytes = 0; bytes < kBatchBytes && documents.size() < kBatchDocuments;) {
    if (!lines_.next()) return !documents.empty();
    if (lines_.too_long()) {
      documents.push_back(
          {.number = lines_.number(),
           .reject = fmt::format("line of {} bytes: expected at most {}", lines_.line_bytes(), max_line_bytes_)});
      continue;
    }
    const std::string& line = lines_.line();
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    bytes += line.size();
    documents.push_back({.number = lines_.number(), .text = line});
  }
  return true;
}

Document JsonlSource::encode(RawDocument raw) const {
  Document document = document_of_line(path_, name_, raw);
  if (document.reject.empty())
    or_reject(document, [&] { reader_.read(parse_json(raw.text, kRecordSubject), document); });
  return document;
}

std::optional<SourceIdentity> JsonlSource::identity() const {
  return identity_of(path_, lines_.bytes());
}

}  // namespace switchyard
