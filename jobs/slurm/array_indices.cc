#include "jobs/slurm/array_indices.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>

#include "base/error.h"
#include "io/json.h"

namespace switchyard {
namespace {

struct Range {
  int64_t first = 0, last = 0, step = 1;
};

/// Reads the grammar  RANGE(,RANGE)*(%N)?  with RANGE = N(-N(:N)?)?
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), rest_(text) {}

  std::vector<Range> ranges() {
    std::vector<Range> all;
    do {
      all.push_back(range());
    } while (take(','));
    if (take('%')) number();  // how many run at a time
    if (!rest_.empty()) refuse();
    return all;
  }

 private:
  Range range() {
    Range r;
    r.first = r.last = number();
    if (!take('-')) return r;
    r.last = number();
    if (take(':')) r.step = number();
    if (r.last < r.first || r.step == 0) refuse();
    return r;
  }

  /// One of too many digits is the largest there is: beyond every limit.
  int64_t number() {
    int64_t value = std::numeric_limits<int64_t>::max();
    const size_t digits = std::min(rest_.find_first_not_of("0123456789"), rest_.size());
    if (digits == 0) refuse();
    std::from_chars(rest_.data(), rest_.data() + digits, value);
    rest_.remove_prefix(digits);
    return value;
  }

  bool take(char wanted) {
    if (!rest_.starts_with(wanted)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  [[noreturn]] void refuse() const {
    fail(ExitCode::usage,
         "submit: --array: expected rising indices such as 0-9, 1,5,7, 0-99:3 or 0-99%4 (% tasks at a time), found {}",
         brief(Json(text_)));
  }

  std::string_view text_, rest_;
};

}  // namespace

std::vector<int64_t> array_indices(const std::string& array, int64_t max_array_size) {
  // Ranges may overlap as often as they like: a bit for each index, as Slurm has it.
  std::vector<bool> chosen;
  for (const Range& range : Parser(array).ranges()) {
    const int64_t largest = std::max(range.last, range.step);
    if (largest >= max_array_size)
      fail(ExitCode::usage, "submit: --array: expected indices and steps below {}, Slurm's MaxArraySize, found {}",
           max_array_size, largest);
    if (std::ssize(chosen) <= range.last) chosen.resize(static_cast<size_t>(range.last) + 1);
    for (int64_t i = range.first; i <= range.last; i += range.step) chosen[static_cast<size_t>(i)] = true;
  }
  std::vector<int64_t> indices;
  indices.reserve(static_cast<size_t>(std::ranges::count(chosen, true)));
  for (int64_t i = 0; i < std::ssize(chosen); ++i)
    if (chosen[static_cast<size_t>(i)]) indices.push_back(i);
  return indices;
}

}  // namespace switchyard
