// Internal to kernels/: the experts' activation.
#pragma once

#include <cstdint>

#include "kernels/cpu/vector_math_16.h"
#include "kernels/products/gated_activation.h"

namespace switchyard {

/// y[r,i] = activation(h[r,i], h[r, f + i]).   h: [rows, 2f] f32, gate, then up; gate is written over; y: f32|bf16, row
/// r from y + r · y_stride on. The same bits from each of the two.
template <class T>
void swiglu_rows_avx2(const GatedActivation& activation, float* h, int64_t rows, int64_t f, T* y, int64_t y_stride);
template <class T>
SWITCHYARD_AVX512 void swiglu_rows_avx512(const GatedActivation& activation, float* h, int64_t rows, int64_t f, T* y,
                                          int64_t y_stride);

/// By this CPU's widest registers.
template <class T>
void swiglu_rows(const GatedActivation& activation, float* h, int64_t rows, int64_t f, T* y, int64_t y_stride) {
  (has_avx512() ? swiglu_rows_avx512<T> : swiglu_rows_avx2<T>)(activation, h, rows, f, y, y_stride);
}

}  // namespace switchyard
