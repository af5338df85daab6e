// Atomics on integers, in global memory (other OS threads may run other kernels on it) and on SharedRef's address.
#pragma once

#include <atomic>
#include <type_traits>

#include "emulator/shared.h"

namespace switchyard::emulator {

template <class T, class Change>
T atomic_change(T* p, Change change) {
  std::atomic_ref<T> cell(*p);
  T old = cell.load(std::memory_order_relaxed);
  while (!cell.compare_exchange_weak(old, change(old), std::memory_order_relaxed)) {
  }
  return old;
}
template <class T, class Change>
T atomic_change(SharedPointer<T> p, Change change) {
  shared_access(p.data, sizeof(T), alignof(T), Access::atomic);
  const T old = *p.data;
  *p.data = change(old);
  return old;
}

/// The value of an operand, which CUDA converts to the type of the target.
template <class T>
using Operand = std::type_identity_t<T>;
template <class T>
concept AtomicInteger = std::is_integral_v<T> &&(sizeof(T) == 4 || sizeof(T) == 8);

}  // namespace switchyard::emulator

#define SWITCHYARD_EMULATED_ATOMIC(name, Pointer, expression)                                              \
  template <switchyard::emulator::AtomicInteger T>                                                         \
  T name(Pointer p, switchyard::emulator::Operand<T> value) {                                              \
    return switchyard::emulator::atomic_change(p, [=](T old) -> T { return static_cast<T>(expression); }); \
  }
#define SWITCHYARD_EMULATED_ATOMICS(name, expression) \
  SWITCHYARD_EMULATED_ATOMIC(name, T*, expression)    \
  SWITCHYARD_EMULATED_ATOMIC(name, switchyard::emulator::SharedPointer<T>, expression)
SWITCHYARD_EMULATED_ATOMICS(atomicAdd,
                            static_cast<std::make_unsigned_t<T>>(old) + static_cast<std::make_unsigned_t<T>>(value))
SWITCHYARD_EMULATED_ATOMICS(atomicSub,
                            static_cast<std::make_unsigned_t<T>>(old) - static_cast<std::make_unsigned_t<T>>(value))
SWITCHYARD_EMULATED_ATOMICS(atomicMax, old < value ? value : old)
SWITCHYARD_EMULATED_ATOMICS(atomicMin, value < old ? value : old)
SWITCHYARD_EMULATED_ATOMICS(atomicExch, (static_cast<void>(old), value))
SWITCHYARD_EMULATED_ATOMICS(atomicOr, old | value)
SWITCHYARD_EMULATED_ATOMICS(atomicAnd, old& value)
SWITCHYARD_EMULATED_ATOMICS(atomicXor, old ^ value)
#undef SWITCHYARD_EMULATED_ATOMICS
#undef SWITCHYARD_EMULATED_ATOMIC

template <switchyard::emulator::AtomicInteger T>
T atomicCAS(T* p, switchyard::emulator::Operand<T> expected, switchyard::emulator::Operand<T> value) {
  return switchyard::emulator::atomic_change(p, [=](T old) { return old == expected ? value : old; });
}
template <switchyard::emulator::AtomicInteger T>
T atomicCAS(switchyard::emulator::SharedPointer<T> p, switchyard::emulator::Operand<T> expected,
            switchyard::emulator::Operand<T> value) {
  return switchyard::emulator::atomic_change(p, [=](T old) { return old == expected ? value : old; });
}
