// stderr only: stdout belongs to machine results. Rank 0 at info, the others only warnings; each line names rank and
// host.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace switchyard::log {

enum class Level { info, warning, error };

/// Once, at start: who this process is, as printed before every line.
void identify(int rank, int size);
void set_quiet(bool quiet);  ///< --quiet: warnings and errors only

void write(Level level, std::string_view message);

template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace switchyard::log
