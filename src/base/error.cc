#include "base/error.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <new>

namespace switchyard {

Error as_error(const std::exception& exception) {
  if (const auto* error = dynamic_cast<const Error*>(&exception)) return *error;
  if (dynamic_cast<const std::bad_alloc*>(&exception) != nullptr) return {ExitCode::environment, "out of memory"};
  if (const auto* error = dynamic_cast<const std::filesystem::filesystem_error*>(&exception))
    return {ExitCode::input, fmt::format("{}: {}", error->path1().native(), error->code().message())};
  return {ExitCode::internal, fmt::format("internal error: {}", exception.what())};
}

void fail_check(const char* file, int line, const char* expression, const std::string& message) {
  fail(ExitCode::internal, "{} [{}] at {}:{}", message, expression, file, line);
}

void fail_errno(ExitCode code, std::string_view what, std::string_view path) {
  const int error = errno;
  if (error == EMFILE || error == ENFILE || error == ENOMEM) code = ExitCode::environment;  // whatever file it is
  fail(code, "{} {}: {}", what, path, std::strerror(error));
}

}  // namespace switchyard
