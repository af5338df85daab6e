// What a file's first bytes say that it is: for messages about files of another kind than expected.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace switchyard {

inline constexpr size_t kFileHeadBytes = 512;  ///< as many first bytes as describe_content() looks at

/// "gzip data", "a Git LFS pointer", …; empty when nothing is recognised.
std::string_view describe_content(std::string_view head);

inline constexpr std::string_view kGzipMagic = "\x1f\x8b";

/// The first kFileHeadBytes of a file, or fewer. Fails (input) when it cannot be read.
std::string read_file_head(const std::filesystem::path& path);

}  // namespace switchyard
