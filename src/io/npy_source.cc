#include "io/npy_source.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace switchyard {
namespace {

constexpr int64_t kBlock = int64_t{1} << 14;

}  // namespace

NpySource::NpySource(const std::filesystem::path& values, const std::filesystem::path& offsets)
    : values_(values), offsets_(offsets) {
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

bool NpySource::next(Document& document) {
  if (next_record_ == offsets_.size() - 1) return false;
  const int64_t begin = end_;
  end_ = next_offset();
  if (end_ < begin || end_ > values_.size())
    fail(ExitCode::input, "{}: record {}: expected an end in {} … {}, found {}", offsets_.path().string(), next_record_,
         begin, values_.size(), end_);
  position_ = begin;
  document = {};
  document.source = values_.path().string();
  document.record = next_record_;
  document.id = std::to_string(next_record_++);
  document.reject = begin == end_ ? "empty: no tokens" : first_bad_token();
  return true;
}

size_t NpySource::read(std::span<int32_t> out) {
  const int64_t count = std::min({kBlock, static_cast<int64_t>(out.size()), end_ - position_});
  value_block_.resize(static_cast<size_t>(count));
  values_.read(position_, std::span(value_block_));
  std::transform(value_block_.begin(), value_block_.end(), out.begin(),
                 [](int64_t id) { return static_cast<int32_t>(id); });
  position_ += count;
  return static_cast<size_t>(count);
}

}  // namespace switchyard
