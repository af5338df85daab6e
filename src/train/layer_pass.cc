#include "train/layer_pass.h"

#include <algorithm>
#include <array>

#include "kernels/products/grouped_ffn_backward.h"
#include "kernels/products/weight_gradient.h"
#include "kernels/rows/cast.h"

namespace switchyard {

void fill_zero(const Stream& stream, View x) {
  if (stream.measured == nullptr) std::ranges::fill(x.span<float>(), 0.0f);
}

ConstView as_operand(const Stream& stream, Arena& arena, ConstView x, DType operand) {
  if (x.dtype == operand) return x;
  const View rounded = arena.alloc(x.shape, operand);
  cast(stream, x, rounded);
  return rounded;
}

namespace {

/// Sums of columns: the outer product with a column of ones.
void bias_gradient(const Stream& stream, Arena& arena, ConstView dy, const SlicedRows& rows, std::vector<View> out) {
  const ArenaScope scope(arena);
  const View ones = arena.alloc({dy.rows(), 1}, DType::f32);
  if (stream.measured == nullptr) std::ranges::fill(ones.span<float>(), 1.0f);
  for (View& node : out) node = node.reshaped({node.elements(), 1});
  weight_gradient(stream, dy, ones, rows, out);
}

}  // namespace

void backward_linear(const StepPass& pass, const Linear& w, const Linear& transpose, ConstView x, ConstView dy,
                     const SlicedRows& rows, const BlockGradient& sums, GemmOutput output, View dx) {
  const ArenaScope scope(pass.arena);
  const ConstView operand = as_operand(pass.stream, pass.arena, dy, w.weight.operand());
  weight_gradient(pass.stream, operand, x, rows, sums.of(&w.weight));
  if (w.bias.view().rows() > 0) bias_gradient(pass.stream, pass.arena, dy, rows, sums.of(&w.bias));
  gemm(pass.stream, operand, transpose.weight, output, dx);
}

void backward_ffn(const StepPass& pass, std::span<const FfnWeights> w, std::span<const FfnWeights> transposes,
                  const GatedActivation& activation, ConstView x, ConstView dy, const SlicedRows& rows,
                  const BlockGradient& sums, View dx) {
  const ArenaScope scope(pass.arena);
  const int64_t f = w.front().down.k();
  const View scaled_h = pass.arena.alloc({x.rows(), f}, pass.operand());
  const View d_gate_up = pass.arena.alloc({x.rows(), 2 * f}, pass.operand());
  const std::array<int64_t, 2> all = {0, x.rows()};
  grouped_ffn_backward(pass.stream, x, dy, {}, {all, {}, {}}, w, transposes, activation, GemmOutput::add, scaled_h,
                       d_gate_up, dx, {}, {});
  weight_gradient(pass.stream, d_gate_up, x, rows, sums.of(&w.front().gate_up));
  weight_gradient(pass.stream, dy, scaled_h, rows, sums.of(&w.front().down));
}

}  // namespace switchyard
