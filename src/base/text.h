// Words and numbers for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace switchyard {

/// Of UTF-8, which some programs put at the beginning of a file.
inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

std::string bytes_text(uint64_t bytes);     ///< "3.52 GiB"
std::string count_text(int64_t count);      ///< "23.056 B", "1.107 B", "512"
std::string rate_text(double per_second);   ///< "41.2k"
std::string duration_text(double seconds);  ///< "00:41", "13:00:41"

std::string_view trimmed(std::string_view text);  ///< without blanks and line ends around it

/// `text` with `to` wherever `from` stood.
std::string replaced(std::string text, std::string_view from, std::string_view to);

}  // namespace switchyard
