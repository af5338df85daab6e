// A file, or a directory, that is written beside its final name and removed unless it is published.
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

class TemporaryFolder {
 public:
  /// Makes it. Fails (output).
  explicit TemporaryFolder(const std::filesystem::path& target);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// As publish_directory(path(), target).
  void publish() const { publish_directory(path_, target_); }

 private:
  std::filesystem::path target_, path_;
  int slot_;
};

/// For a signal handler that ends the process: removes the files and folders that this process has written and not
/// published.
void remove_unpublished_files() noexcept;

}  // namespace switchyard
