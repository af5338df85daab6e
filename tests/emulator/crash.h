// Says which emulated thread it was when a kernel touches memory that is not there: behind every allocation of a device
// lie addresses that nobody may touch.
#pragma once

#include <cstddef>
#include <memory>

namespace switchyard::emulator {

class Engine;

/// While it lives, a segmentation fault of this OS thread inside a kernel is reported on stderr before the process ends
/// of it. (AddressSanitizer's own report is better: nothing there.)
class CrashReport {
 public:
  explicit CrashReport(const Engine& engine);
  ~CrashReport();
  CrashReport(const CrashReport&) = delete;
  CrashReport& operator=(const CrashReport&) = delete;

 private:
  std::unique_ptr<std::byte[]> stack_;  ///< of the handler: the fault may be an overflow of the usual one
};

}  // namespace switchyard::emulator
