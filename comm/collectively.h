// Errors that every rank learns of, for phases in which all take the same steps.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <utility>

#include "base/error.h"
#include "comm/communicator.h"

namespace switchyard {

/// Thrown on all ranks alike: rank 0 reports it, and all end in order.
class CollectiveError : public Error {
 public:
  using Error::Error;
};

/// Throws it, as fail() does, on ranks that have all found the same.
template <class... Args>
[[noreturn]] void fail_together(ExitCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw CollectiveError(code, fmt::format(format, std::forward<Args>(args)...));
}

/// Runs body on every rank. If it failed on some, all ranks throw CollectiveError with the lowest failing rank's code
/// and message. The body may use collectives only if it fails on all ranks or on none before them.
void collectively(Communicator& world, const std::function<void()>& body);

/// The same on the ranks of a group, which may be a part of the world: all of them throw, not a CollectiveError, for
/// the world's other ranks know nothing of it.
void in_group(Communicator& group, const std::function<void()>& body);

}  // namespace switchyard
