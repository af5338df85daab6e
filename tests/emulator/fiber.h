// A flow of control with a stack of its own. Fibers stay on the OS thread that made them.
#pragma once

#include <cstddef>

namespace switchyard::emulator {

class Fiber {
 public:
  /// The flow of the calling OS thread itself.
  Fiber() = default;
  /// Starts in entry() when first switched to; entry() never returns. `number` spreads stacks over the cache's sets.
  Fiber(void (*entry)(), unsigned number);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  /// Goes on in `to`; returns when somebody switches to this fiber, which must be the running one.
  void switch_to(Fiber& to);

 private:
  static void begin();
  void arrived();

  void* stack_pointer_ = nullptr;  ///< while it does not run
  Fiber* previous_ = nullptr;      ///< who switched to it last
  void (*entry_)() = nullptr;
  void* mapping_ = nullptr;  ///< a guard page, then the stack
  // For AddressSanitizer, which must know on which stack the program is.
  const void* stack_ = nullptr;
  size_t stack_bytes_ = 0;
  void* fake_stack_ = nullptr;
};

}  // namespace switchyard::emulator
