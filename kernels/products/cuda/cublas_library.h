// Internal to kernels/: cuBLASLt's functions, from a library that is loaded when first asked for. Loaded at the start
// it would take 90 MB of every process, on nodes without a GPU as well.
#pragma once

#include <cublasLt.h>

namespace switchyard::cuda {

#define SWITCHYARD_CUBLAS_FUNCTIONS(X)    \
  X(cublasLtCreate)                       \
  X(cublasLtGetStatusString)              \
  X(cublasLtGetVersion)                   \
  X(cublasLtMatmul)                       \
  X(cublasLtMatmulAlgoCheck)              \
  X(cublasLtMatmulAlgoConfigGetAttribute) \
  X(cublasLtMatmulAlgoConfigSetAttribute) \
  X(cublasLtMatmulAlgoGetHeuristic)       \
  X(cublasLtMatmulDescCreate)             \
  X(cublasLtMatmulDescDestroy)            \
  X(cublasLtMatmulDescSetAttribute)       \
  X(cublasLtMatmulPreferenceCreate)       \
  X(cublasLtMatmulPreferenceDestroy)      \
  X(cublasLtMatmulPreferenceSetAttribute) \
  X(cublasLtMatrixLayoutCreate)           \
  X(cublasLtMatrixLayoutDestroy)

/// Each function under its own name.
struct CublasLibrary {
#define SWITCHYARD_POINTER(name) decltype(&::name) name;
  SWITCHYARD_CUBLAS_FUNCTIONS(SWITCHYARD_POINTER)
#undef SWITCHYARD_POINTER
};

/// Of cuBLASLt's major version that this was compiled for; fails (environment) where it is not found. Thread-safe.
const CublasLibrary& cublas();

}  // namespace switchyard::cuda
