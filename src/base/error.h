// One exception type for the whole program. Only main catches it; its kind decides the exit code.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace switchyard {

/// Why the program ends. The value is the process's exit code.
enum class ExitCode : int {
  complete = 0,
  usage = 64,             ///< a misspelt option, a value out of range
  too_many_rejects = 65,  ///< complete, but more rejects than --max-rejects
  input = 66,             ///< a model, data set or configuration that cannot be used
  environment = 69,       ///< MPI, NCCL, CPU features, memory
  internal = 70,          ///< a broken invariant of this program
  output = 73,            ///< nothing can be written: full disk, permission
  interrupted = 75,       ///< stopped on request; run again to resume
  timeout = 76,           ///< a rank did not arrive in time
  mismatch = 78,          ///< the run directory belongs to other work, or its lease is live
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

/// Any exception as one with an exit code: no memory is the environment's fault, a path that std::filesystem cannot
/// follow bad input, what nobody foresaw internal.
Error as_error(const std::exception& exception);

/// Throws Error(code). Message: the subject, what was expected, what was found.
template <class... Args>
[[noreturn]] void fail(ExitCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

/// Takes a step; should it fail, its error names the subject before all else.
template <class Step>
void naming(const std::string& subject, const Step& step) {
  try {
    step();
  } catch (const Error& error) {
    throw Error(error.code(), subject + ": " + error.what());
  }
}

/// Throws Error(internal) with the broken expression and its place; behind SWITCHYARD_CHECK.
[[noreturn]] void fail_check(const char* file, int line, const char* expression, const std::string& message);

/// Throws Error(code) with errno's text, environment where that says that a limit of the process is reached; call it
/// right after the failed system call.
[[noreturn]] void fail_errno(ExitCode code, std::string_view what, std::string_view path);

}  // namespace switchyard

/// An invariant of this program. Outside data is never checked with this, but with fail(ExitCode::input, …).
#define SWITCHYARD_CHECK(cond, ...)                                                               \
  do {                                                                                            \
    if (!(cond)) ::switchyard::fail_check(__FILE__, __LINE__, #cond, ::fmt::format(__VA_ARGS__)); \
  } while (0)
