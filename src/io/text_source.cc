#include "io/text_source.h"

#include <algorithm>
#include <map>
#include <utility>

#include "io/json.h"

namespace switchyard {
namespace {

constexpr uint64_t kBlockBytes = uint64_t{1} << 18;

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

TextSource::TextSource(std::vector<std::string> paths, const Tokenizer& tokenizer, uint64_t max_document_bytes)
    : paths_(std::move(paths)),
      names_(document_names(paths_)),
      tokenizer_(tokenizer),
      max_document_bytes_(max_document_bytes) {}

void TextSource::read_block() {
  block_.resize(kBlockBytes);
  file_->read(block_);
}

/// The rest of the document behind the first block. Returns why it is refused; empty: it is not.
std::string TextSource::read_whole() {
  std::string document;
  while (!block_.empty()) {
    document += block_;
    if (document.size() > max_document_bytes_) {
      block_.clear();
      return fmt::format("a document of more than {} bytes, which {} has to see as a whole (--max-document-bytes)",
                         max_document_bytes_, tokenizer_.name());
    }
    read_block();
  }
  block_ = std::move(document);
  return {};
}

bool TextSource::next(Document& document) {
  if (next_path_ == paths_.size()) return false;
  file_.emplace(paths_[next_path_]);
  read_block();
  tokens_.clear();
  used_ = 0;
  document = {};
  document.source = paths_[next_path_];
  document.id = names_[next_path_++];
  if (block_.empty())
    document.reject = "empty: the file has no bytes";
  else if (!tokenizer_.streams())
    document.reject = read_whole();
  return true;
}

size_t TextSource::read(std::span<int32_t> out) {
  while (used_ == tokens_.size() && !block_.empty()) {
    tokens_.clear();
    used_ = 0;
    tokenizer_.encode(block_, tokens_);
    read_block();
  }
  const size_t count = std::min(out.size(), tokens_.size() - used_);
  std::copy_n(tokens_.begin() + static_cast<ptrdiff_t>(used_), count, out.begin());
  used_ += count;
  return count;
}

}  // namespace switchyard
