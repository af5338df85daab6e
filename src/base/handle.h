// One RAII wrapper for every C handle (HDF5 ids, MPI communicators, file descriptors, …).
#pragma once

#include <utility>

namespace switchyard {

/// Move-only owner. Traits: `using type`, `static type null()`, `static void destroy(type) noexcept`.
/// null() is a function because MPI_COMM_NULL is no constant expression. Destructors never throw: a writer
/// that must see a full disk calls its own checked close on release()d handles.
template <class Traits>
class Handle {
 public:
  using type = typename Traits::type;

  Handle() : value_(Traits::null()) {}
  explicit Handle(type value) : value_(value) {}
  Handle(Handle&& other) noexcept : value_(other.release()) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { reset(); }

  type get() const { return value_; }
  explicit operator bool() const { return value_ != Traits::null(); }
  type release() { return std::exchange(value_, Traits::null()); }
  void reset(type value = Traits::null()) {
    if (value_ != Traits::null()) Traits::destroy(value_);
    value_ = value;
  }

 private:
  type value_;
};

}  // namespace switchyard
