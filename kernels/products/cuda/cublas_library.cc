#include "kernels/products/cuda/cublas_library.h"

#include <dlfcn.h>

#include <string>

#include "base/error.h"

namespace switchyard::cuda {

#if defined(SWITCHYARD_EMULATED_GPU)

const CublasLibrary& cublas() {
#define SWITCHYARD_ADDRESS(name) &::name,
  static const CublasLibrary library{SWITCHYARD_CUBLAS_FUNCTIONS(SWITCHYARD_ADDRESS)};
#undef SWITCHYARD_ADDRESS
  return library;
}

#else

namespace {

// Where the system looks, then where it was when this was built. It stays loaded: at the end of the process CUDA may be
// gone before its handles.
void* open_library() {
  const std::string name = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
  std::string why;
  for (const std::string& place : {name, std::string(SWITCHYARD_CUBLAS_DIRECTORY "/") + name}) {
    if (void* library = ::dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
    why += fmt::format("{}{}", why.empty() ? "" : "; ", ::dlerror());
  }
  fail(ExitCode::environment, "cuBLASLt cannot be loaded: {}", why);
}

template <class Function>
Function function(void* library, const char* name) {
  void* address = ::dlsym(library, name);
  if (address == nullptr) fail(ExitCode::environment, "cuBLASLt has no {}: {}", name, ::dlerror());
  return reinterpret_cast<Function>(address);
}

CublasLibrary load() {
  void* library = open_library();
#define SWITCHYARD_LOAD(name) function<decltype(&::name)>(library, #name),
  return {SWITCHYARD_CUBLAS_FUNCTIONS(SWITCHYARD_LOAD)};
#undef SWITCHYARD_LOAD
}

}  // namespace

const CublasLibrary& cublas() {
  static const CublasLibrary library = load();
  return library;
}

#endif

}  // namespace switchyard::cuda
