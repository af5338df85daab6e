// POSIX files with every error seen: exact reads, complete writes, atomic replacement.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/handle.h"

namespace switchyard {

struct FileDescriptorTraits {
  using type = int;
  static type null() { return -1; }
  static void destroy(type fd) noexcept;
};
using FileDescriptor = Handle<FileDescriptorTraits>;

/// A file open for reading; safe to use from several threads.
class InputFile {
 public:
  /// Fails (input): missing, unreadable, a link to nothing, not a regular file, a Git LFS pointer.
  explicit InputFile(const std::filesystem::path& path);
  uint64_t size() const { return size_; }  ///< as it was opened
  bool has_changed() const;                ///< since then
  const std::filesystem::path& path() const { return path_; }
  /// Fills `out` from `offset`; fails (input) when the file ends before (it may have shrunk since).
  void read(uint64_t offset, std::span<std::byte> out) const;

 private:
  struct Status {
    uint64_t size;
    int64_t modified;  ///< nanoseconds
  };
  Status status_now() const;
  std::filesystem::path path_;
  FileDescriptor fd_;
  uint64_t size_ = 0;
  int64_t modified_ = 0;
};

/// A new file, written from its beginning to its end, or at any place. Fails (output), also when there is one of this
/// name.
class OutputFile {
 public:
  explicit OutputFile(const std::filesystem::path& path);
  void write(std::string_view bytes);
  void write_at(uint64_t offset, std::string_view bytes);  ///< write() goes on where it was
  void sync();                                             ///< has the disk take it
  void close();  ///< network file systems report a full disk or quota only here

 private:
  std::filesystem::path path_;
  FileDescriptor fd_;
};

/// The whole file as text; fails (input) as InputFile does, and when it is larger than max_bytes.
std::string read_text_file(const std::filesystem::path& path, uint64_t max_bytes = uint64_t{256} << 20);

/// A file whose lines are read as far as there are any: unopened if there is no regular file (a FIFO would be waited
/// for).
std::ifstream open_lines(const std::filesystem::path& path);

/// A name beside `path` that no other process uses: "NAME.tmp-" and 16 random digits. Whatever is written under it and
/// never published, a file or a directory, is an orphan of a killed process, which remove_temporaries() clears away.
std::filesystem::path temporary_path(const std::filesystem::path& path);
void remove_temporaries(const std::filesystem::path& directory) noexcept;

/// Writes `content` beside `path` under a temporary name, syncs it, renames it into place and syncs the directory.
/// A reader sees the old content or the new, whenever the writer is killed. Fails (output).
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

/// The same without syncing: for what is of no use after a crash, and must not wait for a busy disk. Fails (output).
void replace_file(const std::filesystem::path& path, std::string_view content);

/// As write_file_atomically, under a name that must not exist: false, and nothing changed, if it does. Fails (output).
bool write_file_once(const std::filesystem::path& path, std::string_view content);

/// Has the disk take what was written to a file so far, by whatever descriptor. Fails (output).
void sync_file(const std::filesystem::path& path);

/// Renames a complete, closed file into place: fsync(from), rename, fsync(directory). Fails (output).
void publish_file(const std::filesystem::path& from, const std::filesystem::path& to);

/// Renames a complete directory, whose files are synced, into place, and syncs what lists it. A directory that was
/// there is exchanged for it and removed; where the file system cannot exchange, for a moment neither has the name.
/// Fails (output).
void publish_directory(const std::filesystem::path& from, const std::filesystem::path& to);

/// Appends to a file of this process's own. Fails (output).
void append_bytes(const std::filesystem::path& path, std::string_view bytes);

/// Appends one line (`line` and a line feed) in a single write. Fails (output).
void append_line(const std::filesystem::path& path, std::string_view line);

// Questions about the file system; unlike std::filesystem's they fail with an exit code when there is no answer (no
// permission on a folder above, a loop of links, too long a name).
bool file_exists(const std::filesystem::path& path, ExitCode code = ExitCode::input);  ///< of any kind, behind links
bool directory_exists(const std::filesystem::path& path,
                      ExitCode code = ExitCode::input);  ///< also false if it is not there
/// Whether its directory lists it: also a link that leads nowhere, which is to be opened, and its error to be seen.
bool is_listed(const std::filesystem::path& path);
/// What is in a directory, in the order of names; empty when there is none.
std::vector<std::filesystem::path> list_directory(const std::filesystem::path& directory,
                                                  ExitCode code = ExitCode::input);

/// And without "." or "..". Fails (code) when the working directory is gone.
std::string absolute_path(const std::string& path, ExitCode code);
void make_directories(const std::filesystem::path& path);                   ///< fails (output)
uint64_t free_disk_bytes(const std::filesystem::path& existing_directory);  ///< for this user; fails (output)

}  // namespace switchyard
