// Preloaded into a program, makes its ranks' disk slow: a file system under load, or one that hangs.
//   SLOW_READ_MILLISECONDS  what every pread() takes longer
//   SLOW_READ_RANK          of this rank only
//   SLOW_READ_FILES         of files only whose path has this in it, or with a $ behind it ends so
//   SLOW_READ_AFTER         only once a file has been read whose path has this in it
//   SLOW_READ_ONCE          the first of them alone
//   SLOW_SYNC_…             the same of fsync() and fdatasync()
// Ranks that wait for a slow one sleep: Open MPI's would take all the time that they can get of cores that others
// compute on.
#include <dlfcn.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <utility>

namespace {

bool is_of(int fd, std::string files) {
  char path[4096];
  const ssize_t length = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof path);
  const std::string found(path, static_cast<size_t>(std::max<ssize_t>(length, 0)));
  if (!files.ends_with('$')) return found.find(files) != std::string::npos;
  files.pop_back();
  return found.ends_with(files);
}

void delay(const std::string& what, int fd) {
  const auto variable = [&](const char* name) { return std::getenv((what + name).c_str()); };
  const char *milliseconds = variable("_MILLISECONDS"), *slow_rank = variable("_RANK"), *files = variable("_FILES");
  const char* rank = std::getenv("PMIX_RANK");
  if (milliseconds == nullptr || rank == nullptr) return;  // not a rank
  if (slow_rank != nullptr && std::string(rank) != slow_rank) return;
  static bool is_after = false, is_done = false;
  if (const char* after = variable("_AFTER")) {
    is_after = is_after || is_of(fd, after);
    if (!is_after) return;
  }
  if (files != nullptr && !is_of(fd, files)) return;
  if (variable("_ONCE") != nullptr && std::exchange(is_done, true)) return;
  const int total = std::atoi(milliseconds);
  timespec left{total / 1000, total % 1000 * 1'000'000};
  while (::nanosleep(&left, &left) != 0 && errno == EINTR) {  // a disk knows no signals
  }
}

template <class F>
F* real(const char* name) {
  return reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

ssize_t pread64(int fd, void* buffer, size_t bytes, off64_t offset) {
  static auto* const next = real<ssize_t(int, void*, size_t, off64_t)>("pread64");
  delay("SLOW_READ", fd);
  return next(fd, buffer, bytes, offset);
}

ssize_t pread(int fd, void* buffer, size_t bytes, off_t offset) {
  return pread64(fd, buffer, bytes, offset);
}

int fsync(int fd) {
  static auto* const next = real<int(int)>("fsync");
  delay("SLOW_SYNC", fd);
  return next(fd);
}

int fdatasync(int fd) {
  static auto* const next = real<int(int)>("fdatasync");
  delay("SLOW_SYNC", fd);
  return next(fd);
}

// What Open MPI does again and again while it waits (mpi_yield_when_idle).
int sched_yield() {
  constexpr timespec kPause{0, 200'000};
  return ::nanosleep(&kPause, nullptr);
}

}  // extern "C"
