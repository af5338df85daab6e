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

bool is_read_once(const std::string& path) {
  if (path == kStandardInput) return true;
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 &&
         (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode) || S_ISSOCK(status.st_mode));
}

ByteStream::ByteStream(const std::filesystem::path& path, std::function<void()> poll)
    : path_(path), poll_(std::move(poll)) {
  if (!is_read_once(path.native())) {
    file_.emplace(path);
  } else if (path.native() != kStandardInput) {
    opened_ = FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened_) fail_errno(ExitCode::input, "cannot open", path.native());
  }
  head_.resize(kHeadBytes);
  head_.resize(read_some(head_));
}

std::optional<uint64_t> ByteStream::size() const {
  return file_ ? std::optional(file_->size()) : std::nullopt;
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
  size_t count = 0;
  if (file_) {
    count = std::min<uint64_t>(out.size(), file_->size() - fetched_);
    file_->read(fetched_, std::as_writable_bytes(out.first(count)));
  } else {
    for (size_t got = 1; got > 0 && count < out.size(); count += got) got = read_pipe(out.subspan(count));
  }
  fetched_ += count;
  return count;
}

/// 0: it has ended.
size_t ByteStream::read_pipe(std::span<char> out) {
  constexpr int kPollMilliseconds = 200;
  pollfd waiting{opened_ ? opened_.get() : STDIN_FILENO, POLLIN, 0};
  while (true) {
    const int ready = ::poll(&waiting, 1, kPollMilliseconds);
    if (ready < 0 && errno != EINTR) fail_errno(ExitCode::input, "cannot wait for", path_.native());
    if (ready > 0) break;
    if (poll_) poll_();
  }
  const ssize_t got = ::read(waiting.fd, out.data(), out.size());
  if (got < 0) fail_errno(ExitCode::input, "cannot read", path_.native());
  return static_cast<size_t>(got);
}

}  // namespace switchyard
