// Preloaded into a program, makes every pread() slow, of all ranks or of one: a file system under load.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace {

void delay() {
  const char* milliseconds = std::getenv("SLOW_READ_MILLISECONDS");
  const char *rank = std::getenv("PMIX_RANK"), *slow_rank = std::getenv("SLOW_READ_RANK");
  if (milliseconds == nullptr || rank == nullptr) return;  // not a rank
  if (slow_rank == nullptr || std::string_view(rank) == slow_rank)
    ::usleep(1000 * static_cast<unsigned>(std::atoi(milliseconds)));
}

using Read = ssize_t(int, void*, size_t, off64_t);

}  // namespace

extern "C" ssize_t pread64(int fd, void* buffer, size_t bytes, off64_t offset) {
  static Read* const real = reinterpret_cast<Read*>(::dlsym(RTLD_NEXT, "pread64"));
  delay();
  return real(fd, buffer, bytes, offset);
}

extern "C" ssize_t pread(int fd, void* buffer, size_t bytes, off_t offset) {
  return pread64(fd, buffer, bytes, offset);
}
