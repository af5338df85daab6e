// What the fuzz targets share: a target defines LLVMFuzzerTestOneInput and lets nothing but Error(input) happen.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/handle.h"
#include "io/file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace switchyard::fuzz {

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// A property of whatever was accepted.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz target: does not hold: %s\n", what);
  std::abort();
}

/// Other exceptions than Error end the program, as does another exit code than input.
template <class Action>
void only_input_errors(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    if (error.code() == ExitCode::input) return;
    std::fprintf(stderr, "fuzz target: exit code %d: %s\n", static_cast<int>(error.code()), error.what());
    std::abort();
  }
}

/// The bytes as a file in memory, with a path.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* data, size_t size) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    require(fd_ && ::write(fd_.get(), data, size) == static_cast<ssize_t>(size), "a file in memory");
  }
  std::string path() const { return fmt::format("/proc/self/fd/{}", fd_.get()); }

 private:
  FileDescriptor fd_;
};

}  // namespace switchyard::fuzz
