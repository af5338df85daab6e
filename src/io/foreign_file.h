// What a file is that is not what its name says: a failed download leaves all sorts of things under a good name.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "io/json.h"

namespace switchyard {

/// What a file that begins with `head` most likely is, and what to do about it: "an HTML or XML page: …". Empty when
/// that cannot be told.
std::string describe_foreign(std::string_view head);

/// A file that holds one JSON document. Fails (input) as read_text_file and parse_json do; of a file that is something
/// else altogether it says what.
Json read_json_file(const std::filesystem::path& path, uint64_t max_bytes);

}  // namespace switchyard
