// The block's shared memory. Every access is checked: inside the memory, aligned, and not racing with another thread's.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace switchyard::emulator {

/// This block's dynamic shared memory, all ones (NaNs) at first.
std::byte* shared_memory();

enum class Access : uint8_t { read, write, atomic };
/// Fails with block, threads and offset unless this thread may touch the bytes.
void shared_access(const void* p, unsigned bytes, unsigned alignment, Access access);

/// Races on shared memory are errors, unless SWITCHYARD_EMULATED_RACE_CHECK=0. For launches of the calling OS thread.
void set_race_check(bool on);

template <class V>
V shared_load(const void* p) {
  static_assert(std::is_trivially_copyable_v<V> && sizeof(V) >= 2, "races are watched in units of two bytes");
  shared_access(p, sizeof(V), alignof(V), Access::read);
  V value;
  std::memcpy(&value, p, sizeof(V));
  return value;
}
template <class V>
void shared_store(void* p, const V& value) {
  static_assert(std::is_trivially_copyable_v<V> && sizeof(V) >= 2, "races are watched in units of two bytes");
  shared_access(p, sizeof(V), alignof(V), Access::write);
  std::memcpy(p, &value, sizeof(V));
}

/// &shared[i], for atomics.
template <class T>
struct SharedPointer {
  T* data;
};

/// shared[i]: reads as a T, writes when assigned to. Name the type of what is read: `const float x = shared[i];`.
template <class T>
class SharedRef {
 public:
  /// From a T* and nothing that converts to one: 0 assigned to a SharedRef is a value.
  template <std::same_as<T*> Pointer>
  SharedRef(Pointer data) : data_(data) {}
  SharedRef(const SharedRef&) = default;
  operator T() const { return shared_load<T>(data_); }
  SharedPointer<T> operator&() const { return {data_}; }
  const SharedRef& operator=(const T& value) const {
    shared_store<T>(data_, value);
    return *this;
  }
  SharedRef& operator=(const SharedRef& other) {
    shared_store<T>(data_, static_cast<T>(other));
    return *this;
  }
  const SharedRef& operator+=(const T& value) const { return *this = static_cast<T>(T(*this) + value); }
  const SharedRef& operator-=(const T& value) const { return *this = static_cast<T>(T(*this) - value); }
  const SharedRef& operator*=(const T& value) const { return *this = static_cast<T>(T(*this) * value); }
  const SharedRef& operator/=(const T& value) const { return *this = static_cast<T>(T(*this) / value); }
  const SharedRef& operator|=(const T& value) const { return *this = static_cast<T>(T(*this) | value); }
  const SharedRef& operator&=(const T& value) const { return *this = static_cast<T>(T(*this) & value); }
  const SharedRef& operator++() const { return *this += T(1); }
  T operator++(int) const {
    const T old = *this;
    *this = static_cast<T>(old + T(1));
    return old;
  }

 private:
  T* data_;
};

}  // namespace switchyard::emulator
