#include "io/line_reader.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace switchyard {
namespace {

constexpr uint64_t kBlockBytes = uint64_t{1} << 20;

}  // namespace

LineReader::LineReader(const std::filesystem::path& path, uint64_t max_line_bytes, std::function<void()> poll,
                       Ends ends)
    : file_(path, std::move(poll)), max_line_bytes_(max_line_bytes), ends_(ends) {}

/// True if the block has unused bytes, after reading the next one if need be.
bool LineReader::fill() {
  if (used_ < block_.size()) return true;
  block_.resize(kBlockBytes);
  file_.read(block_);
  used_ = 0;
  return !block_.empty();
}

/// Moves bytes from the block to the line. A line that grows too long is counted, not kept.
void LineReader::take(size_t count) {
  line_bytes_ += count;
  num_quotes_ += static_cast<uint64_t>(std::ranges::count(std::string_view(block_).substr(used_, count), '"'));
  if (too_long())
    line_.clear();
  else
    line_.append(block_, used_, count);
  used_ += count;
}

bool LineReader::next() {
  line_.clear();
  line_bytes_ = num_quotes_ = 0;
  if (!fill()) return false;
  ++number_;
  while (fill()) {
    const size_t end = block_.find('\n', used_);
    take((end == block_.npos ? block_.size() : end) - used_);
    if (end == block_.npos) continue;
    if (ends_ == Ends::keep)
      take(1);
    else
      ++used_;
    break;
  }
  if (ends_ == Ends::drop && line_.ends_with('\r')) line_.pop_back();
  return true;
}

}  // namespace switchyard
