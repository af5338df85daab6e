#include "train/pass/layer_pass.h"

#include <algorithm>
#include <array>

#include "kernels/products/grouped_ffn_backward.h"
#include "kernels/products/weight_gradient.h"
#include "kernels/row_blocks.h"
#include "kernels/rows/cast.h"

namespace switchyard {

void fill(const Stream& stream, float value, View x) {
  if (stream.measured != nullptr) return;
  constexpr int64_t kElementsPerTask = 1 << 16;
  float* to = x.as<float>();
  for_row_blocks(
      stream, x.elements(), [&](int64_t first, int64_t count) { std::fill_n(to + first, count, value); },
      kElementsPerTask);
}

ConstView as_operand(const Stream& stream, Arena& arena, ConstView x, DType operand) {
  if (x.dtype == operand) return x;
  const View rounded = arena.alloc(x.shape, operand);
  cast(stream, x, rounded);
  return rounded;
}

void sum_products(const StepPass& pass, const ListedRows& dy, const ListedRows& x, const SlicedRows& rows,
                  const BlockGradient& sums, const void* place) {
  const ElementBits wanted = sums.wanted(place);
  if (const std::vector<View> nodes = sums.of(place); !nodes.empty())
    weight_gradient(pass.stream, dy, x, rows, {&wanted, 1}, nodes);
}

// The outer product with a column of ones.
void sum_columns(const StepPass& pass, ConstView x, const SlicedRows& rows, std::vector<View> out) {
  if (out.empty()) return;
  const ArenaScope scope(pass.arena);
  const View ones = pass.arena.alloc({x.rows(), 1}, DType::f32);
  fill(pass.stream, 1, ones);
  for (View& node : out) node = node.reshaped({node.elements(), 1});
  weight_gradient(pass.stream, x, ones, rows, {}, out);
}

void backward_product(const StepPass& pass, const PackedMatrix& w, const PackedMatrix& transpose, ConstView x,
                      ConstView dy, const SlicedRows& rows, const BlockGradient& sums, GemmOutput output, View dx) {
  const ArenaScope scope(pass.arena);
  const ConstView operand = as_operand(pass.stream, pass.arena, dy, w.operand());
  sum_products(pass, operand, x, rows, sums, &w);
  gemm(pass.stream, operand, transpose, output, dx);
}

void backward_linear(const StepPass& pass, const Linear& w, const Linear& transpose, ConstView x, ConstView dy,
                     const SlicedRows& rows, const BlockGradient& sums, GemmOutput output, View dx) {
  if (w.bias.view().rows() > 0) sum_columns(pass, dy, rows, sums.of(&w.bias));
  backward_product(pass, w.weight, transpose.weight, x, dy, rows, sums, output, dx);
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
  sum_products(pass, d_gate_up, x, rows, sums, &w.front().gate_up);
  sum_products(pass, dy, scaled_h, rows, sums, &w.front().down);
}

}  // namespace switchyard
