// An op is its name and its implementations; this is the only place that chooses by device.
#pragma once

#include <algorithm>
#include <ranges>
#include <type_traits>
#include <utility>

#include "base/stream.h"

#if defined(SWITCHYARD_CUDA)
#define SWITCHYARD_CUDA_IMPL(fn) fn
#else
#define SWITCHYARD_CUDA_IMPL(fn) nullptr
#endif

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

template <class Fn>
struct Op;

template <class... A>
struct Op<void(const Stream&, A...)> {
  using Fn = void(const Stream&, A...);
  const char* name;
  Fn* cpu;
  Fn* cuda;

  void operator()(const Stream& stream, A... args) const {
    Fn* fn = stream.device == Device::cpu ? cpu : cuda;
    if (fn == nullptr)
      fail(ExitCode::environment, "{} has no {} implementation in this build", name,
           stream.device == Device::cpu ? "CPU" : "CUDA");
    int number = 0;
    const auto check = [&](const auto& argument) {
      ++number;
      SWITCHYARD_CHECK(lies_on(stream.device, argument), "{}: argument {} is not on the stream's device", name, number);
    };
    (check(args), ...);
    fn(stream, std::forward<A>(args)...);
  }
};

}  // namespace switchyard
