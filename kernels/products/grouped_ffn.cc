#include "kernels/products/grouped_ffn.h"

#include <cstring>

#include "kernels/cpu/scratch_layouts.h"
#include "kernels/products/cpu/ffn_blocks.h"
#include "kernels/products/cpu/packed_matrix_impl.h"
#include "kernels/products/cpu/swiglu.h"
#include "kernels/row_blocks.h"

namespace switchyard {

FfnScratch::FfnScratch(const MatrixPanels& gate_up, const MatrixPanels& down) {
  constexpr auto n = static_cast<size_t>(kRows), padded = static_cast<size_t>(kRows + kMaxPaddingRows);
  x = layout.add(n * gate_up.row_bytes());
  product =
      layout.add(padded * static_cast<size_t>(std::max(gate_up.max_columns(), down.max_columns())) * sizeof(float));
  act = layout.add(n * down.row_bytes());
  widened = layout.add(std::max(gate_up.widened_bytes(), down.widened_bytes()));
  workspace = layout.add(std::max(gate_up.workspace_bytes(), down.workspace_bytes()));
}

namespace {

/// What all tasks share.
struct Call {
  ConstView x;
  const GroupedRows& rows;
  std::span<const FfnWeights> weights;
  const GatedActivation& activation;
  GemmOutput output;
  View y;
  View gate_up = {};  ///< [entries, 2f] f32, or no data: not wanted
  bool gate_up_past_caches = goes_past_caches(gate_up);
};

void run_block(const FfnBlock& block, const Call& call) {
  const FfnWeights& weights = call.weights[block.group];
  const PackedMatrix::Impl &gate_up = weights.gate_up.impl(), &down = weights.down.impl();
  const FfnScratch scratch(gate_up.panels, down.panels);
  std::byte* memory = thread_scratch(scratch.layout.bytes());
  std::byte *widened = memory + scratch.widened, *workspace = memory + scratch.workspace;
  auto* product = reinterpret_cast<float*>(memory + scratch.product);
  const float* down_bias = values_of(weights.down_bias);
  const int64_t f = down.panels.k();

  const std::byte* x = rows_of({call.x, call.rows.input_row}, block, memory + scratch.x);
  for (int64_t p = 0; p < gate_up.panels.count(); ++p) {
    const int64_t columns = gate_up.panels.columns(p) / 2, first = gate_up.panels.first_column(p) / 2;
    gate_up.panels.product(p).run(x, block.count, gate_up.prepared(p, widened), product, workspace);
    add_gate_up_bias(weights, first, columns, product, block.count);
    if (call.gate_up.data != nullptr)
      for (int64_t r = 0; r < block.count; ++r)
        put_row(product + r * 2 * columns, 2 * columns, GemmOutput::store, call.gate_up_past_caches,
                call.gate_up.as<float>() + (block.first + r) * 2 * f + 2 * first);
    with_float_type(down.panels.operand(), "grouped_ffn", [&](auto element) {
      auto* act = reinterpret_cast<decltype(element)*>(memory + scratch.act);
      swiglu_rows(call.activation, product, block.count, columns, act + first, f);
    });
  }
  if (call.gate_up_past_caches) _mm_sfence();
  for (int64_t p = 0; p < down.panels.count(); ++p) {
    const int64_t columns = down.panels.columns(p), first = down.panels.first_column(p);
    down.panels.product(p).run(memory + scratch.act, block.count, down.prepared(p, widened), product, workspace);
    if (down_bias != nullptr) add_bias(down_bias + first, columns, product, block.count, columns);
    with_float_type(call.y.dtype, "grouped_ffn", [&](auto element) {
      put_rows<decltype(element)>(product, columns, block, first, call.output, call.y, call.rows.output_row);
    });
  }
}

/// All blocks of a call.
void run(const Stream& stream, const Call& call) {
  const ConstView x = call.x, y = call.y;
  const GroupedRows& rows = call.rows;
  check_rows("grouped_ffn", rows, call.weights.size(), x, y);
  SWITCHYARD_CHECK(call.output == GemmOutput::store || y.dtype == DType::f32, "grouped_ffn adds to {}",
                   name_of(y.dtype));
  check_activation(call.activation);
  check_biases(call.weights);
  const auto blocks =
      ffn_blocks("grouped_ffn", rows.offsets, call.weights, x.row_elements(), x.dtype, stream.pool->num_threads());
  SWITCHYARD_CHECK(blocks.empty() || y.row_elements() == x.row_elements(), "grouped_ffn: x {}, y {}", x.shape.str(),
                   y.shape.str());
  stream.parallel_for(std::ssize(blocks), [&](int64_t i, int) { run_block(blocks[static_cast<size_t>(i)], call); });
}

}  // namespace

void check_activation(const GatedActivation& activation) {
  SWITCHYARD_CHECK(!activation.clamped || activation.limit > 0, "grouped_ffn: activations clamped at {}",
                   activation.limit);
}

void check_biases(std::span<const FfnWeights> weights) {
  const FfnWeights* first = nullptr;
  for (const FfnWeights& w : weights) {
    if (w.down.n() == 0) continue;
    if (first == nullptr) first = &w;
    const auto fits = [&](OwnedTensor FfnWeights::*member, int64_t n) {
      const ConstView bias = (w.*member).view();
      if ((bias.data == nullptr) != ((first->*member).view().data == nullptr)) return false;
      return bias.data == nullptr || (bias.dtype == DType::f32 && bias.elements() == n);
    };
    SWITCHYARD_CHECK(fits(&FfnWeights::gate_up_bias, w.gate_up.n()) && fits(&FfnWeights::down_bias, w.down.n()),
                     "grouped_ffn: group {}: biases {} and {} of products of {} and {}, not as the first group's",
                     &w - weights.data(), w.gate_up_bias.view().shape.str(), w.down_bias.view().shape.str(),
                     w.gate_up.n(), w.down.n());
  }
}

namespace cpu {

size_t grouped_ffn_bytes(ConstView, const GroupedRows&, std::span<const FfnWeights> weights, const GatedActivation&,
                         GemmOutput, View) {
  size_t most = 0;
  for (const FfnWeights& w : weights)
    if (w.down.bytes() > 0)
      most = std::max(most, FfnScratch(w.gate_up.impl().panels, w.down.impl().panels).layout.bytes());
  return most;
}

void grouped_ffn(const Stream& stream, ConstView x, const GroupedRows& rows, std::span<const FfnWeights> weights,
                 const GatedActivation& activation, GemmOutput output, View y) {
  run(stream, {x, rows, weights, activation, output, y});
}

size_t grouped_ffn_taped_bytes(ConstView x, const GroupedRows& rows, std::span<const FfnWeights> weights,
                               const GatedActivation& activation, View, View y) {
  return grouped_ffn_bytes(x, rows, weights, activation, GemmOutput::store, y);
}

void grouped_ffn_taped(const Stream& stream, ConstView x, const GroupedRows& rows, std::span<const FfnWeights> weights,
                       const GatedActivation& activation, View gate_up, View y) {
  SWITCHYARD_CHECK(gate_up.dtype == DType::f32 && gate_up.rows() == rows.offsets.back(),
                   "grouped_ffn_taped: {} entries, gate_up {} {}", rows.offsets.back(), name_of(gate_up.dtype),
                   gate_up.shape.str());
  run(stream, {x, rows, weights, activation, GemmOutput::store, y, gate_up});
}

}  // namespace cpu
}  // namespace switchyard
