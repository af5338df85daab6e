// A file that is written beside its final name and removed unless it is published.
#pragma once

#include <unistd.h>

#include <filesystem>

#include "io/file.h"

namespace switchyard {

class TemporaryFile {
 public:
  /// Names it, creates nothing.
  explicit TemporaryFile(const std::filesystem::path& target) : target_(target), path_(temporary_path(target)) {}
  ~TemporaryFile() { ::unlink(path_.c_str()); }  // a published file has no such name any more
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Renames the complete, closed file to its target. Fails (output).
  void publish() const { publish_file(path_, target_); }

 private:
  std::filesystem::path target_, path_;
};

}  // namespace switchyard
