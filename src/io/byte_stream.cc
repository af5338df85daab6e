#include "io/byte_stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "io/foreign_file.h"

namespace switchyard {
namespace {

/// Whether its size says how much can be read: of /proc's files it does not.
bool has_size(const std::filesystem::path& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > 0;
}

/// Without waiting for a pipe's other end: that is polled for.
FileDescriptor open_unsized(const std::filesystem::path& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd || ::fcntl(fd.get(), F_SETFL, 0) != 0) fail_errno(ExitCode::input, "cannot open", path.native());
  return fd;
}

}  // namespace

bool is_read_once(const std::string& path) {
  if (path == kStandardInput) return true;
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 &&
         (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode) || S_ISSOCK(status.st_mode));
}

ByteStream::ByteStream(const std::filesystem::path& path, std::function<void()> poll)
    : path_(path), poll_(std::move(poll)) {
  if (!is_read_once(path.native()) && has_size(path))
    file_.emplace(path);
  else if (path.native() != kStandardInput)
    opened_ = open_unsized(path);
  head_.resize(kHeadBytes);
  head_.resize(read_some(head_));
}

size_t ByteStream::read(std::span<char> out) {
  const size_t from_head = position_ < head_.size() ? std::min(out.size(), head_.size() - position_) : 0;
  std::copy_n(head_.begin() + static_cast<ptrdiff_t>(std::min<uint64_t>(position_, head_.size())), from_head,
              out.begin());
  const size_t count = from_head + read_some(out.subspan(from_head));
  hasher_.update(out.data(), count);
  position_ += count;
  return count;
}

/// Past the head.
size_t ByteStream::read_some(std::span<char> out) {
  if (poll_) poll_();
  const size_t count = file_ ? read_file(out) : read_pipe(out);
  fetched_ += count;
  return count;
}

size_t ByteStream::read_file(std::span<char> out) {
  const size_t count = std::min<uint64_t>(out.size(), file_->size() - fetched_);
  file_->read(fetched_, std::as_writable_bytes(out.first(count)));
  if (fetched_ + count == file_->size() && file_->has_changed())
    fail(ExitCode::input, "{}: it changed while it was read", path_.native());
  return count;
}

size_t ByteStream::read_pipe(std::span<char> out) {
  constexpr int kPollMilliseconds = 200;
  pollfd waiting{opened_ ? opened_.get() : STDIN_FILENO, POLLIN, 0};
  size_t count = 0;
  while (count < out.size() && !ended_) {
    const int ready = ::poll(&waiting, 1, kPollMilliseconds);
    if (ready < 0 && errno != EINTR) fail_errno(ExitCode::input, "cannot wait for", path_.native());
    if (ready <= 0) {
      if (poll_) poll_();
      continue;
    }
    const ssize_t got = ::read(waiting.fd, out.data() + count, out.size() - count);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_errno(ExitCode::input, "cannot read", path_.native());
    ended_ = got == 0;
    count += static_cast<size_t>(got);
  }
  return count;
}

}  // namespace switchyard
