#include "kernels/products/cpu/swiglu.h"

// A row is rounded in a pass of its own, where gate stood: in one pass the chain of dependent operations would be too
// long for the core.

namespace switchyard {
namespace {

void activate_avx2(const GatedActivation& activation, float* gate, const float* up, int64_t f) {
  if (!activation.clamped) {
    for_lanes(f, [&](int64_t i, auto read, auto write) { write(gate + i, swiglu_of(read(gate + i), read(up + i))); });
  } else {
    const auto alpha = static_cast<float>(activation.alpha), limit = static_cast<float>(activation.limit);
    for_lanes(f, [&](int64_t i, auto read, auto write) {
      write(gate + i, clamped_swiglu_of(read(gate + i), read(up + i), alpha, limit));
    });
  }
}

SWITCHYARD_AVX512 void activate_avx512(const GatedActivation& activation, float* gate, const float* up, int64_t f) {
  if (!activation.clamped) {
    for (int64_t i = 0; i < f; i += 16) {
      const __mmask16 lanes = first_lanes(f - i);
      store_lanes(gate + i, swiglu_of(load_lanes(gate + i, lanes), load_lanes(up + i, lanes)), lanes);
    }
  } else {
    const auto alpha = static_cast<float>(activation.alpha), limit = static_cast<float>(activation.limit);
    for (int64_t i = 0; i < f; i += 16) {
      const __mmask16 lanes = first_lanes(f - i);
      store_lanes(gate + i, clamped_swiglu_of(load_lanes(gate + i, lanes), load_lanes(up + i, lanes), alpha, limit),
                  lanes);
    }
  }
}

}  // namespace

template <class T>
void swiglu_rows_avx2(const GatedActivation& activation, float* h, int64_t rows, int64_t f, T* y, int64_t y_stride) {
  for (int64_t r = 0; r < rows; ++r, h += 2 * f, y += y_stride) {
    activate_avx2(activation, h, h + f, f);
    for_lanes(f, [&](int64_t i, auto read, auto write) { write(y + i, read(h + i)); });
  }
}

template <class T>
SWITCHYARD_AVX512 void swiglu_rows_avx512(const GatedActivation& activation, float* h, int64_t rows, int64_t f, T* y,
                                          int64_t y_stride) {
  for (int64_t r = 0; r < rows; ++r, h += 2 * f, y += y_stride) {
    activate_avx512(activation, h, h + f, f);
    for (int64_t i = 0; i < f; i += 16) {
      const __mmask16 lanes = first_lanes(f - i);
      store_lanes(y + i, load_lanes(h + i, lanes), lanes);
    }
  }
}

template void swiglu_rows_avx2(const GatedActivation&, float*, int64_t, int64_t, float*, int64_t);
template void swiglu_rows_avx2(const GatedActivation&, float*, int64_t, int64_t, BFloat16*, int64_t);
template void swiglu_rows_avx512(const GatedActivation&, float*, int64_t, int64_t, float*, int64_t);
template void swiglu_rows_avx512(const GatedActivation&, float*, int64_t, int64_t, BFloat16*, int64_t);

}  // namespace switchyard
