#include "import/npy_source.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace switchyard {
namespace {

constexpr int64_t kBlock = int64_t{1} << 16;

}  // namespace

NpySource::NpySource(const std::string& values, const std::string& offsets) : values_(values), offsets_(offsets) {
  const std::string subject = offsets_.path().string();
  if (offsets_.size() == 0) fail(ExitCode::input, "{}: expected an offset more than records, found none", subject);
  int64_t first = 0, last = 0;
  offsets_.read(0, std::span(&first, 1));
  offsets_.read(offsets_.size() - 1, std::span(&last, 1));
  if (first != 0) fail(ExitCode::input, "{}: expected 0 first, found {}", subject, first);
  if (last != values_.size())
    fail(ExitCode::input, "{}: expected {} last, the elements of {}, found {}", subject, values_.size(),
         values_.path().string(), last);
}

/// Where the next record ends.
int64_t NpySource::next_offset() {
  const int64_t at = next_record_ + 1;
  if (at >= offset_block_first_ + static_cast<int64_t>(offset_block_.size())) {
    offset_block_first_ = at;
    offset_block_.resize(static_cast<size_t>(std::min(kBlock, offsets_.size() - at)));
    offsets_.read(at, std::span(offset_block_));
  }
  return offset_block_[static_cast<size_t>(at - offset_block_first_)];
}

/// Looks through the whole document before any of it is used: why it is a reject, or nothing.
std::string NpySource::first_bad_token() {
  for (int64_t at = position_; at < end_; at += kBlock) {
    value_block_.resize(static_cast<size_t>(std::min(kBlock, end_ - at)));
    values_.read(at, std::span(value_block_));
    for (size_t i = 0; i < value_block_.size(); ++i)
      if (value_block_[i] < 0 || value_block_[i] > kMaxTokenId)
        return fmt::format("token {}: expected an id in 0 … {}, found {}", at - position_ + static_cast<int64_t>(i),
                           kMaxTokenId, value_block_[i]);
  }
  return {};
}

void NpySource::begin_record() {
  begin_ = position_ = end_;
  end_ = next_offset();
  if (end_ < begin_ || end_ > values_.size())
    fail(ExitCode::input, "{}: record {}: expected an end in {} … {}, found {}", offsets_.path().string(), next_record_,
         begin_, values_.size(), end_);
  ++next_record_;
}

/// What follows of the record, or the next one.
RawDocument NpySource::next_part() {
  RawDocument raw;
  if (position_ == end_) {
    begin_record();
    raw.reject = begin_ == end_ ? "empty: no tokens" : first_bad_token();
  }
  raw.number = next_record_ - 1;
  raw.begins = position_ == begin_;
  if (raw.reject.empty()) {
    value_block_.resize(static_cast<size_t>(std::min(kBlock, end_ - position_)));
    values_.read(position_, std::span(value_block_));
    for (const int64_t id : value_block_) raw.tokens.push_back(static_cast<int32_t>(id));
    position_ += std::ssize(value_block_);
  } else {
    position_ = end_;
  }
  raw.ends = position_ == end_;
  return raw;
}

bool NpySource::next(std::vector<RawDocument>& documents) {
  for (size_t bytes = 0; bytes < kBatchBytes && documents.size() < kBatchDocuments;) {
    if (position_ == end_ && next_record_ == offsets_.size() - 1) return !documents.empty();
    documents.push_back(next_part());
    bytes += documents.back().tokens.size() * sizeof(int32_t);
  }
  return true;
}

Document NpySource::encode(RawDocument raw) const {
  Document document;
  document.source = values_.path().string();
  document.record = raw.number;
  document.id = std::to_string(raw.number);
  document.reject = std::move(raw.reject);
  document.tokens = std::move(raw.tokens);
  document.begins = raw.begins;
  document.ends = raw.ends;
  return document;
}

}  // namespace switchyard
