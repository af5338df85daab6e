// A file that is written beside its final name and removed unless it is published.
#pragma once

#include <filesystem>

#include "io/file.h"

namespace switchyard {

class TemporaryFile {
 public:
  /// Names it, creates nothing.
  explicit TemporaryFile(const std::filesystem::path& target);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Renames the complete, closed file to its target. Fails (output).
  void publish() const { publish_file(path_, target_); }

 private:
  std::filesystem::path target_, path_;
  int slot_;  ///< among those that a signal handler can find; -1: in none
};

/// For a signal handler that ends the process: removes what this process has written and not published.
void remove_unpublished_files() noexcept;

}  // namespace switchyard
