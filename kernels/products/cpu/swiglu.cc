#include "kernels/products/cpu/swiglu.h"

// A row is rounded in a pass of its own, where gate stood: in one pass the chain of dependent operations would be too
// long for the core.

namespace switchyard {

template <class T>
void swiglu_rows_avx2(float* h, int64_t rows, int64_t f, T* y, int64_t y_stride) {
  for (int64_t r = 0; r < rows; ++r, h += 2 * f, y += y_stride) {
    for_lanes(f, [&](int64_t i, auto read, auto write) { write(h + i, swiglu_of(read(h + i), read(h + f + i))); });
    for_lanes(f, [&](int64_t i, auto read, auto write) { write(y + i, read(h + i)); });
  }
}

template <class T>
SWITCHYARD_AVX512 void swiglu_rows_avx512(float* h, int64_t rows, int64_t f, T* y, int64_t y_stride) {
  for (int64_t r = 0; r < rows; ++r, h += 2 * f, y += y_stride) {
    for (int64_t i = 0; i < f; i += 16) {
      const __mmask16 lanes = first_lanes(f - i);
      store_lanes(h + i, swiglu_of(load_lanes(h + i, lanes), load_lanes(h + f + i, lanes)), lanes);
    }
    for (int64_t i = 0; i < f; i += 16) {
      const __mmask16 lanes = first_lanes(f - i);
      store_lanes(y + i, load_lanes(h + i, lanes), lanes);
    }
  }
}

template void swiglu_rows_avx2(float*, int64_t, int64_t, float*, int64_t);
template void swiglu_rows_avx2(float*, int64_t, int64_t, BFloat16*, int64_t);
template void swiglu_rows_avx512(float*, int64_t, int64_t, float*, int64_t);
template void swiglu_rows_avx512(float*, int64_t, int64_t, BFloat16*, int64_t);

}  // namespace switchyard
