// What time it is, and how long a scope takes.
#pragma once

#include <chrono>

namespace switchyard {

inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Seconds since 1970, to the millisecond.
inline double seconds_since_1970() {
  const auto now = std::chrono::round<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch());
  return std::chrono::duration<double>(now).count();
}

/// Adds the time a scope takes to a counter.
class Stopwatch {
 public:
  explicit Stopwatch(double& total) : total_(total), start_(seconds_now()) {}
  ~Stopwatch() { total_ += seconds_now() - start_; }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& total_;
  double start_;
};

}  // namespace switchyard
