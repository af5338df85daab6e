// The hardware's exponential and nothing around it: an error of 2^-22 or so (fast_exp: and 2^-24 · |x| of rounding its
// exponent), and 0 below 2^-126, where exp2f and __expf spend three more instructions on subnormal results. For what is
// rounded to bf16, or added to larger numbers.
#pragma once

#include <cuda_runtime.h>

namespace switchyard::cuda {

__device__ inline float fast_exp2(float x) {
#if defined(SWITCHYARD_EMULATED_GPU)
  return exp2f(x);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
#endif
}

__device__ inline float fast_exp(float x) {
#if defined(SWITCHYARD_EMULATED_GPU)
  return expf(x);
#else
  constexpr float kLog2OfE = 1.4426950408889634f;
  return fast_exp2(x * kLog2OfE);
#endif
}

}  // namespace switchyard::cuda
