#include "kernels/products/cpu/swiglu_backward.h"

namespace switchyard {
namespace {

template <class T>
struct Row {
  int64_t columns;
  const float *gate, *up, *a;
  float weight;
  T *scaled_h, *d_gate, *d_up;
};

struct Plain {
  auto operator()(F32x8 gate, F32x8 up) const { return swiglu_and_derivatives(gate, up); }
  SWITCHYARD_AVX512 [[gnu::always_inline]] auto operator()(F32x16 gate, F32x16 up) const {
    return swiglu_and_derivatives(gate, up);
  }
};

struct Clamped {
  float alpha, limit;

  auto operator()(F32x8 gate, F32x8 up) const { return clamped_swiglu_and_derivatives(gate, up, alpha, limit); }
  SWITCHYARD_AVX512 [[gnu::always_inline]] auto operator()(F32x16 gate, F32x16 up) const {
    return clamped_swiglu_and_derivatives(gate, up, alpha, limit);
  }
};

/// Writes a row; the result is Σ h · a, by columns modulo eight.
template <class T, class Activation>
F32x8 differentiate_avx2(const Activation& activation, const Row<T>& row) {
  F32x8 dot = broadcast(0);
  for_lanes(row.columns, [&](int64_t i, auto read, auto write) {
    const F32x8 a = read(row.a + i), dh = a * row.weight;
    const auto h = activation(read(row.gate + i), read(row.up + i));
    dot = fma(h.value, a, dot);
    write(row.d_gate + i, dh * h.by_gate);
    write(row.d_up + i, dh * h.by_up);
    write(row.scaled_h + i, h.value * row.weight);
  });
  return dot;
}

template <class T, class Activation>
SWITCHYARD_AVX512 F32x8 differentiate_avx512(const Activation& activation, const Row<T>& row) {
  F32x8 dot = broadcast(0);
  for (int64_t i = 0; i < row.columns; i += 16) {
    const __mmask16 lanes = first_lanes(row.columns - i);
    const F32x16 a = load_lanes(row.a + i, lanes), dh = a * row.weight;
    const auto h = activation(load_lanes(row.gate + i, lanes), load_lanes(row.up + i, lanes));
    dot = fma(__builtin_shufflevector(h.value, h.value, 0, 1, 2, 3, 4, 5, 6, 7),
              __builtin_shufflevector(a, a, 0, 1, 2, 3, 4, 5, 6, 7), dot);
    if (row.columns - i > kLanes)
      dot = fma(__builtin_shufflevector(h.value, h.value, 8, 9, 10, 11, 12, 13, 14, 15),
                __builtin_shufflevector(a, a, 8, 9, 10, 11, 12, 13, 14, 15), dot);
    store_lanes(row.d_gate + i, dh * h.by_gate, lanes);
    store_lanes(row.d_up + i, dh * h.by_up, lanes);
    store_lanes(row.scaled_h + i, h.value * row.weight, lanes);
  }
  return dot;
}

/// differentiate: of a row
template <class T, class Differentiate>
void for_each_row(const SwigluBackward<T>& block, const Differentiate& differentiate) {
  for (int64_t r = 0; r < block.rows; ++r) {
    const float* gate = block.gate_up + r * block.gate_up_stride;
    T* d_gate = block.d_gate_up + r * 2 * block.f;
    const F32x8 dot = differentiate(Row<T>{.columns = block.columns,
                                           .gate = gate,
                                           .up = gate + block.columns,
                                           .a = block.a + r * block.a_stride,
                                           .weight = block.weight == nullptr ? 1 : block.weight[r],
                                           .scaled_h = block.scaled_h + r * block.f,
                                           .d_gate = d_gate,
                                           .d_up = d_gate + block.f});
    if (block.dot != nullptr) block.dot[r] += sum_of_lanes(dot);
  }
}

template <class Body>
void with_activation(const GatedActivation& activation, const Body& body) {
  if (activation.clamped)
    body(Clamped{static_cast<float>(activation.alpha), static_cast<float>(activation.limit)});
  else
    body(Plain{});
}

}  // namespace

template <class T>
void swiglu_backward_avx2(const SwigluBackward<T>& block) {
  with_activation(block.activation, [&](const auto& activation) {
    for_each_row(block, [&](const Row<T>& row) { return differentiate_avx2(activation, row); });
  });
}

template <class T>
void swiglu_backward_avx512(const SwigluBackward<T>& block) {
  with_activation(block.activation, [&](const auto& activation) {
    for_each_row(block, [&](const Row<T>& row) { return differentiate_avx512(activation, row); });
  });
}

template void swiglu_backward_avx2(const SwigluBackward<float>&);
template void swiglu_backward_avx2(const SwigluBackward<BFloat16>&);
template void swiglu_backward_avx512(const SwigluBackward<float>&);
template void swiglu_backward_avx512(const SwigluBackward<BFloat16>&);

}  // namespace switchyard
