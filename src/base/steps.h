// Steps that others wait for the end of.
#pragma once

#include <exception>

namespace switchyard {

/// Keeps what the first step that fails throws, and leaves out those after it: so that whoever is sent something by
/// others in a known order can take it all before the error is thrown.
class Steps {
 public:
  template <class Step>
  void run(const Step& step) {
    if (failure_) return;
    try {
      step();
    } catch (...) {
      failure_ = std::current_exception();
    }
  }
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::exception_ptr failure_;
};

}  // namespace switchyard
