// The bytes of a file, a pipe or standard input, once, from front to back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/hash.h"
#include "io/file.h"

namespace switchyard {

/// "-": standard input.
inline constexpr std::string_view kStandardInput = "-";

/// Whether it can be read once only: standard input, a pipe, a socket, a terminal.
bool is_read_once(const std::string& path);

class ByteStream {
 public:
  /// Fails (input) when it cannot be read. `poll` is called at every read, and while a pipe is waited for; it may fail.
  explicit ByteStream(const std::filesystem::path& path, std::function<void()> poll = {});

  /// Its first bytes, enough to tell its content; fewer if there are no more.
  const std::string& head() const { return head_; }
  /// The next bytes, out.size() of them, fewer only at the end. Fails (input), also on a file that changed meanwhile.
  size_t read(std::span<char> out);
  const std::filesystem::path& path() const { return path_; }
  uint64_t position() const { return position_; }    ///< bytes read
  Hash128 hash() const { return hasher_.digest(); }  ///< of these

 private:
  size_t read_some(std::span<char> out);
  size_t read_file(std::span<char> out);
  size_t read_pipe(std::span<char> out);
  std::filesystem::path path_;
  std::function<void()> poll_;
  std::optional<InputFile> file_;
  FileDescriptor opened_;  ///< of what is no regular file and has a name
  std::string head_;
  uint64_t fetched_ = 0, position_ = 0;
  bool ended_ = false;
  Hasher hasher_;
};

}  // namespace switchyard
