// Internal to kernels/: the exponentials of attention's softmax.
#pragma once

#include <cstdint>

#include "kernels/cpu/vector_math_16.h"

namespace switchyard {

/// score[i] = e^(score[i] − shift) for i < count, a multiple of kLanes; lane l of the result is the sum over every i
/// with i mod kLanes = l, in order. The same bits from each of the two.
F32x8 exponentials_avx2(float* score, int64_t count, float shift);
SWITCHYARD_AVX512 F32x8 exponentials_avx512(float* score, int64_t count, float shift);

/// By this CPU's widest registers.
inline F32x8 exponentials(float* score, int64_t count, float shift) {
  return (has_avx512() ? exponentials_avx512 : exponentials_avx2)(score, count, shift);
}

}  // namespace switchyard
