// Text and coordinates as HTML and SVG take them.
#pragma once

#include <string>
#include <string_view>

namespace switchyard::report {

/// For text and quoted attributes: markup is text, broken UTF-8 and control characters are U+FFFD, and what is longer
/// than a page should hold is cut, with an ellipsis.
std::string escaped(std::string_view text);

/// Characters of UTF-8 text.
size_t num_characters(std::string_view text);

/// A coordinate to a thousandth: "12.5".
std::string coordinate(double value);
/// A coordinate relative to the width of the drawing, to a thousandth: "12.5%".
std::string percent(double fraction);

/// "1 record", "3 records".
std::string plural(long long count, std::string_view noun);

}  // namespace switchyard::report
