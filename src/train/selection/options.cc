#include "train/selection/options.h"

#include <algorithm>

#include "base/error.h"

namespace switchyard {

Decimal Decimal::parse(std::string_view text, std::string_view option) {
  constexpr size_t kMostDigits = 15;
  Decimal share;
  const size_t point = std::min(text.find('.'), text.size());
  std::string digits(text.substr(0, point));
  if (point < text.size()) digits += text.substr(point + 1);
  const bool is_number = !digits.empty() && digits.size() <= kMostDigits + 1 &&
                         std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
  if (is_number) {
    for (const char digit : digits) share.numerator = 10 * share.numerator + (digit - '0');
    for (size_t i = point + 1; i < text.size(); ++i) share.denominator *= 10;
  }
  if (!is_number || share.numerator > share.denominator)
    fail(ExitCode::usage, "{} {}: expected a decimal number from 0 to 1, of at most {} digits", option, text,
         kMostDigits);
  return share;
}

int64_t Decimal::rest_of(int64_t n) const {
  __extension__ using Wide = __int128;
  return static_cast<int64_t>(static_cast<Wide>(n) * (denominator - numerator) / denominator);
}

}  // namespace switchyard
