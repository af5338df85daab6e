#pragma once

#include <signal.h>

#include <functional>
#include <string_view>
#include <thread>

namespace switchyard {

/// Blocks signals for a scope; a thread or a program started in it inherits the mask. Not those of one's own faults,
/// whose handlers (a sanitizer's, MPI's) say what happened.
class BlockedSignals {
 public:
  BlockedSignals();
  ~BlockedSignals();
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_{};
};

/// Starts a thread that hears no signals: they are the main thread's business. Where there may be no more threads it
/// fails (environment), naming the limits; `purpose`: "renewing the lease".
std::thread start_thread(std::string_view purpose, std::function<void()> body);

}  // namespace switchyard
