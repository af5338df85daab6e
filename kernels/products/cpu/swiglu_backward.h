// Internal to kernels/: the gradient of the experts' activation.
#pragma once

#include <cstdint>

#include "kernels/cpu/vector_math_16.h"
#include "kernels/products/gated_activation.h"

namespace switchyard {

/// Some columns of rows of h = activation(gate, up) (swiglu.h), of which there are f in all, and what comes back: a is
/// the loss's gradient by weight · h, so that dh = weight · a.
template <class T>
struct SwigluBackward {
  const GatedActivation& activation;
  int64_t rows, columns, f;
  const float* gate_up;  ///< [rows, 2 columns] gate, then up; rows gate_up_stride apart
  int64_t gate_up_stride;
  const float* a;  ///< [rows, columns], rows a_stride apart
  int64_t a_stride;
  const float* weight;  ///< [rows]; null: ones
  T* scaled_h;          ///< = weight · h, rows f apart
  T* d_gate_up;         ///< rows 2f apart: gate's columns, and f behind them up's
  float* dot;           ///< [rows]: += Σ h · a; null: not wanted
};

/// The same bits from each of the two.
template <class T>
void swiglu_backward_avx2(const SwigluBackward<T>& block);
template <class T>
void swiglu_backward_avx512(const SwigluBackward<T>& block);

/// By this CPU's widest registers.
template <class T>
void swiglu_backward(const SwigluBackward<T>& block) {
  (has_avx512() ? swiglu_backward_avx512<T> : swiglu_backward_avx2<T>)(block);
}

}  // namespace switchyard
