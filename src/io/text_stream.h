// The bytes of a text file from front to back, but for a byte order mark; of one that gzip compressed, what it holds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "io/byte_stream.h"

namespace switchyard {

class TextStream {
 public:
  /// Fails (input) when the file cannot be read, is compressed in another way than by gzip, or says that it is UTF-16.
  /// `poll`: as ByteStream.
  explicit TextStream(const std::filesystem::path& path, std::function<void()> poll = {});
  ~TextStream();
  TextStream(const TextStream&) = delete;
  TextStream& operator=(const TextStream&) = delete;

  /// The next bytes, as many as `block` is long, fewer only at the end: then its length is less, at last 0. Fails
  /// (input) on damaged or cut off gzip data; whatever stands behind a gzip member must be another one, or zeros.
  void read(std::string& block);
  const std::filesystem::path& path() const { return bytes_.path(); }
  const ByteStream& bytes() const { return bytes_; }  ///< as the file has them

 private:
  class Inflater;
  size_t fetch(std::span<char> out);

  ByteStream bytes_;
  std::unique_ptr<Inflater> inflater_;
  std::string start_;  ///< what was looked at, and is still to be read
};

}  // namespace switchyard
