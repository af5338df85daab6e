// An op is its name, its implementations, and what these take of memory; this is the only place that chooses by device.
// Those for CUDA are in the CUDA half, which a program is linked with or not (cmake/Cuda.cmake); nothing else of it is
// compiled for the one or the other.
#pragma once

#include <algorithm>
#include <ranges>
#include <type_traits>
#include <utility>

#include "base/device.h"
#include "base/stopwatch.h"
#include "base/stream.h"

namespace switchyard {

/// Whether an argument lies on the device, if it lies anywhere: views, packed matrices, lists of these.
template <class T>
bool lies_on(Device device, const T& argument) {
  if constexpr (std::is_convertible_v<const T&, ConstView>) {
    const ConstView view = argument;
    return view.data == nullptr || view.device == device;
  } else if constexpr (requires { argument.lies_on(device); }) {
    return argument.lies_on(device);
  } else if constexpr (std::ranges::range<T>) {
    return std::ranges::all_of(argument, [&](const auto& element) { return lies_on(device, element); });
  } else {
    return true;
  }
}

/// Of the views among the arguments, and of lists of views.
template <class T>
size_t bytes_of_views(const T& argument) {
  if constexpr (std::is_convertible_v<const T&, ConstView>) {
    return ConstView(argument).bytes();
  } else if constexpr (std::ranges::range<T>) {
    size_t bytes = 0;
    for (const auto& element : argument) bytes += bytes_of_views(element);
    return bytes;
  } else {
    return 0;
  }
}

/// An implementation in the CUDA half; null in a program without it (no_cuda.cc).
template <class Fn>
using CudaOp = Fn* const;

template <class Fn>
struct Op;

template <class... A>
struct Op<void(const Stream&, A...)> {
  using Fn = void(const Stream&, A...);
  /// Bytes of memory that an implementation works with beside its arguments, from their shapes alone: of each thread's
  /// scratch, or of a CUDA stream's workspace. No fewer for more rows.
  using WorkingBytes = size_t(A...);
  /// What a call does, from its arguments' shapes and the lists that lie in host memory.
  using WorkOf = Work(A...);
  const char* name;
  Fn* cpu;
  CudaOp<Fn>* cuda = nullptr;         ///< null: there is none
  WorkingBytes* cpu_bytes = nullptr;  ///< null: none
  WorkingBytes* cuda_bytes = nullptr;
  WorkOf* work_of = nullptr;  ///< null: a pass over all its views

  void operator()(const Stream& stream, A... args) const {
    check_devices(stream, args...);
    if (stream.measured != nullptr) {
      size_t& most = stream.measured->working;
      most = std::max(most, working_bytes(stream.device, args...));
      if (stream.works != nullptr) stream.works->push_back({work(args...)});
      return;
    }
    Fn* fn = stream.device == Device::cpu ? cpu : cuda != nullptr ? *cuda : nullptr;
    if (fn == nullptr)
      fail(ExitCode::environment, "{} has no {} implementation in this build", name,
           stream.device == Device::cpu ? "CPU" : "CUDA");
    if (stream.works == nullptr) return fn(stream, std::forward<A>(args)...);
    WorkDone done{work(args...)};
    {
      const Stopwatch stopwatch(done.seconds);
      fn(stream, std::forward<A>(args)...);
      synchronize(stream);
    }
    stream.works->push_back(done);
  }

  Work work(A... args) const {
    Work work;
    if (work_of != nullptr) {
      work = work_of(std::forward<A>(args)...);
    } else {
      work.amount = work.size[0] = static_cast<double>((size_t{0} + ... + bytes_of_views(args)));
    }
    work.name = name;
    return work;
  }

  size_t working_bytes(Device device, A... args) const {
    WorkingBytes* bytes = device == Device::cpu ? cpu_bytes : cuda_bytes;
    return bytes == nullptr ? 0 : bytes(std::forward<A>(args)...);
  }

 private:
  void check_devices(const Stream& stream, const A&... args) const {
    int number = 0;
    const auto check = [&](const auto& argument) {
      ++number;
      SWITCHYARD_CHECK(lies_on(stream.device, argument), "{}: argument {} is not on the stream's device", name, number);
    };
    (check(args), ...);
  }
};

template <class Fn>
using WorkingBytes = typename Op<Fn>::WorkingBytes;
template <class Fn>
using WorkOf = typename Op<Fn>::WorkOf;

/// Of an op that passes over a part of what it is given: over what it writes.
inline Work pass_over(ConstView written) {
  const auto bytes = static_cast<double>(written.bytes());
  return {.amount = bytes, .size = {bytes}};
}

}  // namespace switchyard
