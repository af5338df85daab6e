// JSON as outside data: strict, duplicate keys refused, every error naming the subject and the field.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace switchyard {

using Json = nlohmann::ordered_json;

/// Parses one document. Fails (input) with `subject`, the place, and what is wrong: bad syntax, duplicate keys, invalid
/// UTF-8, nesting deeper than 64, anything after the end, NUL bytes, and what Python writes for numbers that are not
/// finite.
Json parse_json(std::string_view text, std::string_view subject);
/// Empty where that fails: for a log's last line, which may be half written.
std::optional<Json> parse_json_if_whole(std::string_view text);

// Typed access. `subject` is the file's name; the message gives field, expected type, found value.
const Json* find_field(const Json& object, std::string_view field);  ///< null when absent or JSON null
double number_or_zero(const Json& object, std::string_view field);   ///< 0 when it is no number, or absent
int64_t require_int(const Json& object, std::string_view field, std::string_view subject, int64_t min, int64_t max);
bool require_bool(const Json& object, std::string_view field, std::string_view subject);
std::string require_string(const Json& object, std::string_view field, std::string_view subject);
std::vector<int64_t> require_int_array(const Json& object, std::string_view field, std::string_view subject);

/// For a file or a line of a log: texts of foreign origin that are not UTF-8 come out with U+FFFD in place of the rest.
std::string to_text(const Json& json, int indent = -1);

// Paths are bytes: one that is not UTF-8 is {"bytes": "hexadecimal digits"}.
Json path_to_json(const std::string& path);
std::string require_path(const Json& object, std::string_view field, std::string_view subject);
/// The same where only text can be: the path, or that object as text.
std::string path_to_text(const std::string& path);

/// A value shortened for an error message; always printable ASCII.
std::string brief(const Json& value);

bool is_utf8(std::string_view text);

}  // namespace switchyard
