// What a file is that is not what its name says, or not what was expected: told from its first bytes.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "io/file.h"
#include "io/json.h"

namespace switchyard {

enum class Content : uint8_t {
  unknown,
  empty,
  zeros,
  hdf5,
  gzip,
  zstd,
  xz,
  bzip2,
  zip,
  pickle,
  parquet,
  arrow,
  numpy,
  gguf,
  markup,
  json,
  text
};
Content content_of(std::string_view head);

/// "gzip data", "an HTML or XML page", …; of what is unknown "something else".
std::string_view name_of(Content content);

/// What a file that begins with `head` most likely is, and what to do about it where a part of a model was expected:
/// "an HTML or XML page: …". Empty when that cannot be told.
std::string describe_foreign(std::string_view head);

/// So many of its first bytes tell a file's content.
inline constexpr size_t kHeadBytes = 512;
/// These of a file; fewer if it is shorter.
std::string head_of(const InputFile& file);

/// A file that holds one JSON document. Fails (input) as read_text_file and parse_json do; of a file that is something
/// else altogether it says what.
Json read_json_file(const std::filesystem::path& path, uint64_t max_bytes);

}  // namespace switchyard
