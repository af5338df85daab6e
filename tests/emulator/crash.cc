#include "crash.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <mutex>

#include "engine.h"

namespace switchyard::emulator {
namespace {

constinit thread_local const Engine* engine_of_thread = nullptr;
#if !defined(__SANITIZE_ADDRESS__)
constexpr size_t kHandlerStackBytes = 64 << 10;
struct sigaction previous;

void on_fault(int signal, siginfo_t* info, void*) {
  // The process is lost: no need to keep to what a handler may call.
  if (engine_of_thread != nullptr) {
    const std::string text = engine_of_thread->describe_fault(info->si_addr);
    if (!text.empty() && write(STDERR_FILENO, text.data(), text.size()) < 0) _exit(128 + signal);
  }
  sigaction(signal, &previous, nullptr);  // the instruction faults again
}
#endif

}  // namespace

CrashReport::CrashReport(const Engine& engine) {
  engine_of_thread = &engine;
#if !defined(__SANITIZE_ADDRESS__)
  stack_ = std::make_unique<std::byte[]>(kHandlerStackBytes);
  stack_t stack{};
  stack.ss_sp = stack_.get();
  stack.ss_size = kHandlerStackBytes;
  sigaltstack(&stack, nullptr);
  static std::once_flag installed;
  std::call_once(installed, [] {
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &previous);
  });
#endif
}

CrashReport::~CrashReport() {
  engine_of_thread = nullptr;
#if !defined(__SANITIZE_ADDRESS__)
  stack_t stack{};
  stack.ss_flags = SS_DISABLE;
  sigaltstack(&stack, nullptr);
#endif
}

}  // namespace switchyard::emulator
