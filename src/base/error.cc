#include "base/error.h"

#include <cerrno>
#include <cstring>

namespace switchyard {

void fail_check(const char* file, int line, const char* expression, const std::string& message) {
  fail(ExitCode::internal, "{} [{}] at {}:{}", message, expression, file, line);
}

void fail_errno(ExitCode code, std::string_view what, std::string_view path) {
  const int error = errno;
  fail(code, "{} {}: {}", what, path, std::strerror(error));
}

}  // namespace switchyard
