// Files of options: a line is   name = value   # comment
//
// A value that holds '#', '"', control characters or spaces at an end stands in double quotes, with C's escapes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

struct ConfigLine {
  std::string name, value;
  std::string written;  ///< all behind the '=', as it stands
  int number = 0;       ///< in the file, from 1
};

/// Fails (usage) naming `subject` and the line: no '=', a quote that does not end, an unknown escape, a NUL.
std::vector<ConfigLine> parse_config(std::string_view text, std::string_view subject);

/// The items of a line written as [a, "b, c", [d, e]], each a value or several; none where it does not begin with '['.
/// Fails (usage) naming `place`: a list that does not end, an item that is missing, something behind it.
std::optional<std::vector<std::vector<std::string>>> parse_list(std::string_view written, std::string_view place);

/// A regular file or a pipe. Fails (usage) with `subject` before the reason.
std::string read_config(const std::string& path, std::string_view subject);

/// "name = value", as parse_config reads it back: with a line feed.
std::string config_line(std::string_view name, std::string_view value);

}  // namespace switchyard
