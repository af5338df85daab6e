// Every call of the CUDA runtime goes through SWITCHYARD_CUDA_CALL: an error becomes an Error(environment) with the
// call's text, CUDA's own message and the place.
#pragma once

#include <cuda_runtime.h>

namespace switchyard {

/// Throws when `code` is not cudaSuccess.
void check_cuda(cudaError_t code, const char* call, const char* file, int line);

}  // namespace switchyard

#define SWITCHYARD_CUDA_CALL(call) ::switchyard::check_cuda(call, #call, __FILE__, __LINE__)
