#include "fiber.h"

#include <sys/mman.h>

#include "base/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace switchyard::emulator {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStackBytes = 512 << 10;  // of address space; red zones make frames larger
#else
constexpr size_t kStackBytes = 128 << 10;
#endif
constexpr size_t kGuardBytes = 4096;

struct Transfer {
  Fiber *from, *to;
};

}  // namespace

Fiber::Fiber(void (*entry)(), unsigned number) : entry_(entry) {
  mapping_ = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (mapping_ == MAP_FAILED) fail_errno(ExitCode::environment, "cannot map", "the stack of an emulated thread");
  mprotect(mapping_, kGuardBytes, PROT_NONE);
  stack_ = static_cast<std::byte*>(mapping_) + kGuardBytes;
  // Equal offsets in stacks of equal size would share one set of the cache.
  stack_bytes_ = kStackBytes - number * 7 % 64 * 64;
  context_ = boost::context::detail::make_fcontext(static_cast<std::byte*>(mapping_) + kGuardBytes + stack_bytes_,
                                                   stack_bytes_, &Fiber::begin);
}

Fiber::~Fiber() {
  if (mapping_ != nullptr) munmap(mapping_, kGuardBytes + kStackBytes);
}

void Fiber::switch_to(Fiber& to) {
  Transfer transfer{this, &to};
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fake_stack_, to.stack_, to.stack_bytes_);
#endif
  arrived(boost::context::detail::jump_fcontext(to.context_, &transfer));
}

void Fiber::begin(boost::context::detail::transfer_t transfer) {
  Fiber& me = *static_cast<Transfer*>(transfer.data)->to;
  me.arrived(transfer);
  me.entry_();
}

void Fiber::arrived(boost::context::detail::transfer_t transfer) {
  Fiber& previous = *static_cast<Transfer*>(transfer.data)->from;
  previous.context_ = transfer.fctx;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack_, &previous.stack_, &previous.stack_bytes_);
#endif
}

}  // namespace switchyard::emulator
