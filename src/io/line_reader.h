// The lines of a text file, in bounded memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/text_stream.h"

namespace switchyard {

class LineReader {
 public:
  enum class Ends : uint8_t { drop, keep };

  /// `poll`: as ByteStream.
  LineReader(const std::filesystem::path& path, uint64_t max_line_bytes, std::function<void()> poll = {},
             Ends ends = Ends::drop);

  /// The next line, with or without its end ("\n" or "\r\n"); false at the end of the file.
  bool next();
  const std::string& line() const { return line_; }  ///< empty when the line is too long
  bool too_long() const { return line_bytes_ > max_line_bytes_; }
  uint64_t line_bytes() const { return line_bytes_; }
  uint64_t num_quotes() const { return num_quotes_; }  ///< of the line, however long: '"'
  int64_t number() const { return number_; }           ///< from 1
  const std::filesystem::path& path() const { return file_.path(); }
  const ByteStream& bytes() const { return file_.bytes(); }

 private:
  bool fill();
  void take(size_t count);
  TextStream file_;
  uint64_t max_line_bytes_;
  Ends ends_;
  std::string block_;
  size_t used_ = 0;  ///< of the block
  std::string line_;
  uint64_t line_bytes_ = 0, num_quotes_ = 0;
  int64_t number_ = 0;
};

}  // namespace switchyard
