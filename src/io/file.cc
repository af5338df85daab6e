#include "io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <random>

#include "io/temporary_file.h"

namespace switchyard {
namespace {

constexpr std::string_view kTemporaryMark = ".tmp-";

/// The end of a chain of symbolic links, whether there is anything or not.
std::filesystem::path end_of_links(std::filesystem::path path) {
  constexpr int kMaxLinks = 40;  // of Linux
  std::error_code error;
  for (int links = 0; links < kMaxLinks; ++links) {
    const std::filesystem::path target = std::filesystem::read_symlink(path, error);
    if (error) break;
    path = path.parent_path() / target;
  }
  return path;
}

/// Right after open() failed.
[[noreturn]] void fail_to_open(const std::filesystem::path& path) {
  const int reason = errno;
  if (const auto target = end_of_links(path); reason == ENOENT && target != path)
    fail(ExitCode::input, "{}: a link to {}, which does not exist{}", path.native(), target.native(),
         target.parent_path().filename() == "blobs"
             ? " (the blobs of the hub's cache are missing: copy them too, or download the model again)"
             : "");
  errno = reason;
  fail_errno(ExitCode::input, "cannot open", path.native());
}

/// A repository cloned without Git LFS has such pointers in place of its large files.
void refuse_lfs_pointer(int fd, uint64_t size, const std::filesystem::path& path) {
  constexpr std::string_view kStart = "version https://git-lfs.github.com/spec/";
  constexpr uint64_t kLargestPointer = 1024;  // by its specification
  if (size > kLargestPointer) return;
  std::string start(kStart.size(), '\0');
  if (::pread(fd, start.data(), start.size(), 0) != std::ssize(start) || start != kStart) return;
  fail(ExitCode::input, "{}: a Git LFS pointer, not the file itself: fetch it with `git lfs pull`", path.native());
}

/// Opens a regular file. O_NONBLOCK: a FIFO in its place must be refused, not waited for.
FileDescriptor open_regular(const std::filesystem::path& path, uint64_t& size) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) fail_to_open(path);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) fail_errno(ExitCode::input, "cannot inspect", path.native());
  if (!S_ISREG(status.st_mode)) fail(ExitCode::input, "{}: expected a regular file", path.native());
  size = static_cast<uint64_t>(status.st_size);
  refuse_lfs_pointer(fd.get(), size, path);
  return fd;
}

void write_all(int fd, std::string_view content, const std::filesystem::path& path) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno(ExitCode::output, "cannot write", path.native());
    content.remove_prefix(static_cast<size_t>(n));
  }
}

/// Network file systems report a full disk or quota only here.
void close_written(FileDescriptor fd, const std::filesystem::path& path) {
  if (::close(fd.release()) != 0) fail_errno(ExitCode::output, "cannot close", path.native());
}

void sync_open_file(int fd, const std::filesystem::path& path) {
  if (::fsync(fd) != 0) fail_errno(ExitCode::output, "cannot sync", path.native());
}

std::filesystem::path directory_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

void sync_directory(const std::filesystem::path& directory) {
  const FileDescriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) fail_errno(ExitCode::output, "cannot open directory", directory.native());
  // Some file systems cannot sync a directory, and say so with EINVAL; their renames are as durable as they can be.
  if (::fsync(fd.get()) != 0 && errno != EINVAL) fail_errno(ExitCode::output, "cannot sync", directory.native());
}

void rename_file(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    fail_errno(ExitCode::output, fmt::format("cannot rename {} to", from.native()), to.native());
}

void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
  rename_file(from, to);
  sync_directory(directory_of(to));
}

/// False where the file system, or the kernel, cannot.
bool exchange(const std::filesystem::path& a, const std::filesystem::path& b) {
  if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS)
    fail_errno(ExitCode::output, fmt::format("cannot exchange {} and", a.native()), b.native());
  return false;
}

/// False when there is no such file.
bool stat_if_there(const std::filesystem::path& path, struct stat& status, ExitCode code) {
  if (::stat(path.c_str(), &status) == 0) return true;
  if (errno != ENOENT && errno != ENOTDIR) fail_errno(code, "cannot inspect", path.native());
  return false;
}

enum class Sync : uint8_t { no, yes };

void write_new_file(const std::filesystem::path& path, std::string_view content, Sync sync) {
  OutputFile file(path);
  file.write(content);
  if (sync == Sync::yes) file.sync();
  file.close();
}

}  // namespace

void FileDescriptorTraits::destroy(type fd) noexcept {
  ::close(fd);
}

InputFile::InputFile(const std::filesystem::path& path) : path_(path) {
  fd_ = open_regular(path, size_);
  modified_ = status_now().modified;
}

InputFile::Status InputFile::status_now() const {
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) fail_errno(ExitCode::input, "cannot inspect", path_.native());
  return {static_cast<uint64_t>(status.st_size),
          int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

bool InputFile::has_changed() const {
  const Status now = status_now();
  return now.size != size_ || now.modified != modified_;
}

void InputFile::read(uint64_t offset, std::span<std::byte> out) const {
  if (offset > size_ || out.size() > size_ - offset)
    fail(ExitCode::input, "{}: expected {} bytes at offset {}, but the file has {}", path_.native(), out.size(), offset,
         size_);
  while (!out.empty()) {
    const ssize_t n = ::pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno(ExitCode::input, "cannot read", path_.native());
    if (n == 0)
      fail(ExitCode::input, "{}: expected {} bytes, but the file now ends at {}", path_.native(), size_, offset);
    offset += static_cast<uint64_t>(n);
    out = out.subspan(static_cast<size_t>(n));
  }
}

OutputFile::OutputFile(const std::filesystem::path& path)
    : path_(path), fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {
  if (!fd_) fail_errno(ExitCode::output, "cannot create", path.native());
}

void OutputFile::write(std::string_view bytes) {
  write_all(fd_.get(), bytes, path_);
}

void OutputFile::write_at(uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno(ExitCode::output, "cannot write", path_.native());
    offset += static_cast<uint64_t>(n);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void OutputFile::sync() {
  sync_open_file(fd_.get(), path_);
}

void OutputFile::close() {
  close_written(std::move(fd_), path_);
}

std::string read_text_file(const std::filesystem::path& path, uint64_t max_bytes) {
  uint64_t size = 0;
  const FileDescriptor fd = open_regular(path, size);
  if (size > max_bytes)
    fail(ExitCode::input, "{}: expected at most {} bytes, found {}", path.native(), max_bytes, size);
  // Read to the end rather than `size` bytes: files under /proc claim to be empty.
  std::string text;
  size_t used = 0;
  for (;;) {
    if (used > max_bytes) fail(ExitCode::input, "{}: expected at most {} bytes, found more", path.native(), max_bytes);
    text.resize(std::max<size_t>(used + 4096, static_cast<size_t>(size) + 1));
    const ssize_t n = ::read(fd.get(), text.data() + used, text.size() - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno(ExitCode::input, "cannot read", path.native());
    if (n == 0) break;
    used += static_cast<size_t>(n);
  }
  text.resize(used);
  return text;
}

std::ifstream open_lines(const std::filesystem::path& path) {
  std::error_code unreadable;
  return std::filesystem::is_regular_file(path, unreadable) ? std::ifstream(path, std::ios::binary) : std::ifstream();
}

std::filesystem::path temporary_path(const std::filesystem::path& path) {
  std::random_device entropy;
  std::filesystem::path temporary = path;
  temporary += fmt::format("{}{:08x}{:08x}", kTemporaryMark, entropy(), entropy());
  return temporary;
}

void remove_temporaries(const std::filesystem::path& directory) noexcept {
  try {
    for (const std::filesystem::path& entry : list_directory(directory))
      if (std::error_code ignored; entry.filename().native().find(kTemporaryMark) != std::string::npos)
        std::filesystem::remove_all(entry, ignored);
  } catch (const std::exception&) {  // an orphan that cannot be removed does no harm
  }
}

void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  const TemporaryFile file(path);
  write_new_file(file.path(), content, Sync::yes);
  rename_durably(file.path(), path);
}

void replace_file(const std::filesystem::path& path, std::string_view content) {
  const TemporaryFile file(path);
  write_new_file(file.path(), content, Sync::no);
  rename_file(file.path(), path);
}

bool write_file_once(const std::filesystem::path& path, std::string_view content) {
  const TemporaryFile file(path);
  write_new_file(file.path(), content, Sync::yes);
  if (::link(file.path().c_str(), path.c_str()) == 0) {  // unlike a rename, never replaces
    sync_directory(directory_of(path));
    return true;
  }
  if (errno != EEXIST) fail_errno(ExitCode::output, "cannot create", path.native());
  return false;
}

void sync_file(const std::filesystem::path& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) fail_errno(ExitCode::output, "cannot open", path.native());
  sync_open_file(fd.get(), path);
  close_written(std::move(fd), path);
}

void publish_file(const std::filesystem::path& from, const std::filesystem::path& to) {
  sync_file(from);
  rename_durably(from, to);
}

void publish_directory(const std::filesystem::path& from, const std::filesystem::path& to) {
  sync_directory(from);
  std::filesystem::path old;
  if (is_listed(to) && exchange(from, to)) {
    old = from;
  } else {
    if (is_listed(to)) rename_file(to, old = temporary_path(to));
    rename_file(from, to);
  }
  sync_directory(directory_of(to));
  std::error_code ignored;  // what is left of it is an orphan
  if (!old.empty()) std::filesystem::remove_all(old, ignored);
}

void append_bytes(const std::filesystem::path& path, std::string_view bytes) {
  FileDescriptor fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!fd) fail_errno(ExitCode::output, "cannot open", path.native());
  write_all(fd.get(), bytes, path);
  close_written(std::move(fd), path);
}

void append_line(const std::filesystem::path& path, std::string_view line) {
  FileDescriptor fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  if (!fd) fail_errno(ExitCode::output, "cannot open", path.native());
  const std::string bytes = fmt::format("{}\n", line);
  ssize_t n = 0;
  do {
    n = ::write(fd.get(), bytes.data(), bytes.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) fail_errno(ExitCode::output, "cannot append to", path.native());
  if (static_cast<size_t>(n) != bytes.size())
    fail(ExitCode::output, "{}: expected to append {} bytes, only {} fitted", path.native(), bytes.size(), n);
  close_written(std::move(fd), path);
}

bool file_exists(const std::filesystem::path& path, ExitCode code) {
  struct stat status {};
  return stat_if_there(path, status, code);
}

bool directory_exists(const std::filesystem::path& path, ExitCode code) {
  struct stat status {};
  return stat_if_there(path, status, code) && S_ISDIR(status.st_mode);
}

bool is_listed(const std::filesystem::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

std::vector<std::filesystem::path> list_directory(const std::filesystem::path& directory, ExitCode code) {
  std::vector<std::filesystem::path> entries;
  std::error_code error;
  for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end; at.increment(error))
    entries.push_back(at->path());
  if (error && error != std::errc::no_such_file_or_directory)
    fail(code, "cannot list {}: {}", directory.native(), error.message());
  std::sort(entries.begin(), entries.end());
  return entries;
}

std::string absolute_path(const std::string& path, ExitCode code) {
  std::error_code error;
  std::filesystem::path absolute = std::filesystem::absolute(path, error).lexically_normal();
  if (error) fail(code, "{}: the working directory, which it starts from, cannot be found: {}", path, error.message());
  if (!absolute.has_filename() && absolute.has_relative_path()) absolute = absolute.parent_path();  // "runs/first/"
  return absolute.native();
}

void make_directories(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error && !std::filesystem::is_directory(path, error) && !error)
    error = std::make_error_code(std::errc::not_a_directory);
  if (error) fail(ExitCode::output, "cannot make directory {}: {}", path.native(), error.message());
}

uint64_t free_disk_bytes(const std::filesystem::path& existing_directory) {
  struct statvfs status {};
  if (::statvfs(existing_directory.c_str(), &status) != 0)
    fail_errno(ExitCode::output, "cannot find the free space of", existing_directory.native());
  return static_cast<uint64_t>(status.f_bavail) * static_cast<uint64_t>(status.f_frsize);
}

}  // namespace switchyard
