#include "import/text_source.h"

#include <filesystem>
#include <map>
#include <utility>

#include "base/error.h"
#include "io/json.h"

namespace switchyard {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 18;

}  // namespace

std::vector<std::string> document_names(const std::vector<std::string>& paths) {
  const auto file_name = [](const std::string& path) { return std::filesystem::path(path).filename().string(); };
  std::map<std::string, int> num_paths;
  for (const std::string& path : paths) ++num_paths[file_name(path)];
  std::vector<std::string> names;
  for (const std::string& path : paths) {
    names.push_back(path_to_text(num_paths[file_name(path)] == 1 ? file_name(path) : path));
  }
  return names;
}

TextSource::TextSource(const std::string& path, std::string name, const EncodeRules& rules, uint64_t max_document_bytes,
                       std::function<void()> poll)
    : path_(path),
      name_(std::move(name)),
      rules_(rules),
      max_document_bytes_(max_document_bytes),
      file_(path, std::move(poll)),
      block_(kBlockBytes, '\0') {
  file_.read(block_);
}

bool TextSource::next(std::vector<RawDocument>& documents) {
  if (begun_ && block_.empty()) return false;
  RawDocument raw{.number = 1, .begins = !std::exchange(begun_, true)};
  if (block_.empty()) {
    raw.reject = "empty: the file has no text";
  } else if (rules_.tokenizer->streams()) {
    raw.text = std::exchange(block_, std::string(kBlockBytes, '\0'));
    file_.read(block_);
    raw.ends = block_.empty();
  } else {
    read_whole(raw);
  }
  documents.push_back(std::move(raw));
  return true;
}

void TextSource::read_whole(RawDocument& raw) {
  for (; !block_.empty(); block_.resize(kBlockBytes), file_.read(block_)) {
    if (!raw.reject.empty()) continue;  // to its end: what the file is, is known by all of it
    raw.text += block_;
    if (raw.text.size() <= max_document_bytes_) continue;
    raw.text.clear();
    raw.reject = fmt::format("a document of more than {} bytes, which {} has to see as a whole (--max-document-bytes)",
                             max_document_bytes_, rules_.tokenizer->name());
  }
}

Document TextSource::encode(RawDocument raw) const {
  Document document;
  document.source = path_;
  document.id = name_;
  document.begins = raw.begins;
  document.ends = raw.ends;
  document.reject = std::move(raw.reject);
  if (!document.reject.empty()) return document;
  or_reject(document, [&] {
    rules_.encode(raw.text, document);
    if (document.tokens.empty()) fail(ExitCode::input, "empty: no tokens");
  });
  return document;
}

std::optional<SourceIdentity> TextSource::identity() const {
  return identity_of(path_, file_.bytes());
}

}  // namespace switchyard
