// An op is its name and its implementations; this is the only place that chooses by device.
#pragma once

#include <string_view>
#include <utility>

#include "base/stream.h"

#if defined(SWITCHYARD_CUDA)
#define SWITCHYARD_CUDA_IMPL(fn) fn
#else
#define SWITCHYARD_CUDA_IMPL(fn) nullptr
#endif

namespace switchyard {

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
    fn(stream, std::forward<A>(args)...);
  }
};

}  // namespace switchyard
