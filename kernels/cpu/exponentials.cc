#include "kernels/cpu/exponentials.h"

namespace switchyard {

F32x8 exponentials_avx2(float* score, int64_t count, float shift) {
  F32x8 sum = broadcast(0);
  for (int64_t i = 0; i < count; i += kLanes) {
    const F32x8 p = exp(load(score + i) - shift);
    store(score + i, p);
    sum += p;
  }
  return sum;
}

SWITCHYARD_AVX512 F32x8 exponentials_avx512(float* score, int64_t count, float shift) {
  F32x8 sum = broadcast(0);
  for (int64_t i = 0; i < count; i += 16) {
    const __mmask16 lanes = first_lanes(count - i);
    const F32x16 p = exp(load_lanes(score + i, lanes) - shift);
    store_lanes(score + i, p, lanes);
    sum += __builtin_shufflevector(p, p, 0, 1, 2, 3, 4, 5, 6, 7);
    if (count - i > kLanes) sum += __builtin_shufflevector(p, p, 8, 9, 10, 11, 12, 13, 14, 15);
  }
  return sum;
}

}  // namespace switchyard
