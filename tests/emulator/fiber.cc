#include "fiber.h"

#include <sys/mman.h>

#include "base/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Saves what a called function must keep, changes stacks, and returns there. Boost.Context would do, but it leaves with
// a jump: the CPU then predicts the target of every return on the way back to the kernel wrongly, and that took more
// time than all the rest. (Kernels do not change the floating-point control words.)
extern "C" void switchyard_switch_stacks(void** saved, void* other);
asm(R"(
.text
.globl switchyard_switch_stacks
.type switchyard_switch_stacks, @function
switchyard_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size switchyard_switch_stacks, . - switchyard_switch_stacks
)");

namespace switchyard::emulator {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStackBytes = 512 << 10;  // of address space; red zones make frames larger
#else
constexpr size_t kStackBytes = 128 << 10;
#endif
constexpr size_t kGuardBytes = 4096;
constexpr int kSavedRegisters = 6;

constinit thread_local Fiber* beginning = nullptr;

}  // namespace

Fiber::Fiber(void (*entry)(), unsigned number) : entry_(entry) {
  mapping_ = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (mapping_ == MAP_FAILED) fail_errno(ExitCode::environment, "cannot map", "the stack of an emulated thread");
  mprotect(mapping_, kGuardBytes, PROT_NONE);
  stack_ = static_cast<std::byte*>(mapping_) + kGuardBytes;
  // Equal offsets in stacks of equal size would share one set of the cache.
  stack_bytes_ = kStackBytes - number * 7 % 64 * 64;
  // What switchyard_switch_stacks takes from the stack: registers, its return address; begin() itself has none.
  auto** top = reinterpret_cast<void**>(static_cast<std::byte*>(mapping_) + kGuardBytes + stack_bytes_);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&Fiber::begin);
  for (int i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
  stack_pointer_ = top;
}

Fiber::~Fiber() {
  if (mapping_ == nullptr) return;
#if defined(__SANITIZE_ADDRESS__)
  // The frames that the fiber never left would stay marked in whatever is mapped here next.
  __asan_unpoison_memory_region(mapping_, kGuardBytes + kStackBytes);
#endif
  munmap(mapping_, kGuardBytes + kStackBytes);
}

bool Fiber::guards(const void* address) const {
  const auto* guard = static_cast<const std::byte*>(mapping_);
  return guard != nullptr && address >= guard && address < guard + kGuardBytes;
}

void Fiber::switch_to(Fiber& to) {
  to.previous_ = this;
  beginning = &to;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fake_stack_, to.stack_, to.stack_bytes_);
#endif
  switchyard_switch_stacks(&stack_pointer_, to.stack_pointer_);
  arrived();
}

void Fiber::begin() {
  Fiber& me = *beginning;
  me.arrived();
  me.entry_();
}

void Fiber::arrived() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack_, &previous_->stack_, &previous_->stack_bytes_);
#endif
}

}  // namespace switchyard::emulator
