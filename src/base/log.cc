#include "base/log.h"

#include <unistd.h>

#include <chrono>
#include <ctime>
#include <mutex>
#include <string>

namespace switchyard::log {
namespace {

struct Identity {
  std::mutex mutex;
  int rank = 0, size = 1;
  bool quiet = false;
  std::string host;
};

Identity& identity() {
  static Identity id;
  return id;
}

std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace

void identify(int rank, int size) {
  Identity& id = identity();
  const std::lock_guard lock(id.mutex);
  id.rank = rank;
  id.size = size;
  id.host = host_name();
}

void set_quiet(bool quiet) {
  Identity& id = identity();
  const std::lock_guard lock(id.mutex);
  id.quiet = quiet;
}

void write(Level level, std::string_view message) {
  Identity& id = identity();
  const std::lock_guard lock(id.mutex);
  if (level == Level::info && (id.rank != 0 || id.quiet)) return;
  if (id.host.empty()) id.host = host_name();
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm tm{};
  ::localtime_r(&now, &tm);
  const char* tag = level == Level::info ? "" : level == Level::warning ? "warning: " : "error: ";
  const std::string line = fmt::format("{:02}:{:02}:{:02} [{}/{} {}] {}{}\n", tm.tm_hour, tm.tm_min, tm.tm_sec, id.rank,
                                       id.size, id.host, tag, message);
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace switchyard::log
