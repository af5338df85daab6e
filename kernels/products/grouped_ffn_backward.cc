#include "kernels/products/grouped_ffn_backward.h"

#include <algorithm>

#include "kernels/cpu/scratch_layouts.h"
#include "kernels/products/cpu/ffn_blocks.h"
#include "kernels/products/cpu/packed_matrix_impl.h"
#include "kernels/products/cpu/swiglu_backward.h"
#include "kernels/row_blocks.h"

namespace switchyard {

// Down's transpose yields panels of as many columns as two of gate_up's panels have of gate, and of up.
FfnBackwardScratch::FfnBackwardScratch(const MatrixPanels& gate_up, const MatrixPanels& down_t,
                                       const MatrixPanels& gate_up_t) {
  const auto product_bytes = [](int64_t columns) {
    return static_cast<size_t>((FfnScratch::kRows + kMaxPaddingRows) * columns) * sizeof(float);
  };
  x = layout.add(static_cast<size_t>(FfnScratch::kRows) * gate_up.row_bytes());
  d_out = layout.add(static_cast<size_t>(FfnScratch::kRows) * gate_up.row_bytes());
  product = layout.add(product_bytes(std::max(gate_up.max_columns(), gate_up_t.max_columns())));
  a = layout.add(product_bytes(down_t.max_columns()));
  widened = layout.add(std::max({gate_up.widened_bytes(), down_t.widened_bytes(), gate_up_t.widened_bytes()}));
  workspace = layout.add(std::max({gate_up.workspace_bytes(), down_t.workspace_bytes(), gate_up_t.workspace_bytes()}));
}

namespace {

/// What all blocks share.
struct BackwardCall {
  ConstView x, d_out, weight;
  const GroupedRows& rows;
  std::span<const FfnWeights> weights;
  std::span<const FfnWeights> transposed;
  const GatedActivation& activation;
  GemmOutput output;
  View scaled_h, d_gate_up, dx, dweight;
  ConstView gate_up;
};

/// A block's way through the products, one panel at a time.
class BlockBackward {
 public:
  BlockBackward(const FfnBlock& block, const BackwardCall& call)
      : block_(block),
        call_(call),
        weights_(call.weights[block.group]),
        gate_up_(call.weights[block.group].gate_up.impl()),
        down_t_(call.transposed[block.group].down.impl()),
        gate_up_t_(call.transposed[block.group].gate_up.impl()),
        scratch_(gate_up_.panels, down_t_.panels, gate_up_t_.panels),
        memory_(thread_scratch(scratch_.layout.bytes())),
        product_(reinterpret_cast<float*>(memory_ + scratch_.product)),
        a_(reinterpret_cast<float*>(memory_ + scratch_.a)),
        x_(call.gate_up.data != nullptr ? nullptr : listed(call.x, scratch_.x)),
        d_out_(listed(call.d_out, scratch_.d_out)) {}

  void run() const {
    if (call_.dweight.data != nullptr) std::fill_n(entries<float>(call_.dweight), block_.count, 0.0f);
    for (int64_t p = 0; p < down_t_.panels.count(); ++p) {
      multiply(down_t_, p, d_out_, a_);
      for (int64_t q = 2 * p; q < std::min(2 * p + 2, gate_up_.panels.count()); ++q) {
        const float* gate_up = product_;
        int64_t stride = gate_up_.panels.columns(q);
        if (call_.gate_up.data != nullptr) {
          stride = call_.gate_up.row_elements();
          gate_up = call_.gate_up.as<float>() + block_.first * stride + gate_up_.panels.first_column(q);
        } else {
          multiply(gate_up_, q, x_, product_);
          add_gate_up_bias(weights_, gate_up_.panels.first_column(q) / 2, stride / 2, product_, block_.count);
        }
        with_float_type(call_.x.dtype, "grouped_ffn_backward",
                        [&](auto element) { activate<decltype(element)>(p, q, gate_up, stride); });
      }
    }
    if (call_.dweight.data != nullptr && values_of(weights_.down_bias) != nullptr)
      with_float_type(call_.x.dtype, "grouped_ffn_backward",
                      [&](auto element) { add_bias_to_dweight<decltype(element)>(); });
    for (int64_t p = 0; p < gate_up_t_.panels.count(); ++p) {
      multiply(gate_up_t_, p, rows_of(call_.d_gate_up, block_, nullptr), product_);
      const int64_t columns = gate_up_t_.panels.columns(p), first = gate_up_t_.panels.first_column(p);
      with_float_type(call_.dx.dtype, "grouped_ffn_backward", [&](auto element) {
        put_rows<decltype(element)>(product_, columns, block_, first, call_.output, call_.dx, call_.rows.output_row);
      });
    }
  }

 private:
  const std::byte* listed(ConstView x, size_t scratch) const {
    return rows_of({x, call_.rows.input_row}, block_, memory_ + scratch);
  }

  /// From the block's first entry on.
  template <class T>
  T* entries(View view) const {
    return view.as<T>() + block_.first * view.row_elements();
  }

  void multiply(const PackedMatrix::Impl& w, int64_t panel, const std::byte* rows, float* product) const {
    w.panels.product(panel).run(rows, block_.count, w.prepared(panel, memory_ + scratch_.widened), product,
                                memory_ + scratch_.workspace);
  }

  /// gate_up's panel q, of which down_t's panel p has the columns; its product's rows lie `stride` apart.
  template <class T>
  void activate(int64_t p, int64_t q, const float* gate_up, int64_t stride) const {
    const int64_t first = gate_up_.panels.first_column(q) / 2;
    swiglu_backward<T>({
        .activation = call_.activation,
        .rows = block_.count,
        .columns = gate_up_.panels.columns(q) / 2,
        .f = down_t_.panels.n(),
        .gate_up = gate_up,
        .gate_up_stride = stride,
        .a = a_ + first - down_t_.panels.first_column(p),
        .a_stride = down_t_.panels.columns(p),
        .weight = call_.weight.data == nullptr ? nullptr : call_.weight.as<float>() + block_.first,
        .scaled_h = entries<T>(call_.scaled_h) + first,
        .d_gate_up = entries<T>(call_.d_gate_up) + first,
        .dot = call_.dweight.data == nullptr ? nullptr : entries<float>(call_.dweight),
    });
  }

  /// ⟨down's bias, d_out⟩
  template <class T>
  void add_bias_to_dweight() const {
    const int64_t dim = call_.x.row_elements();
    const float* bias = values_of(weights_.down_bias);
    for (int64_t r = 0; r < block_.count; ++r) {
      const T* d_out = reinterpret_cast<const T*>(d_out_) + r * dim;
      F32x8 lanes = broadcast(0);
      for_lanes(dim, [&](int64_t i, auto read, auto) { lanes = fma(read(bias + i), read(d_out + i), lanes); });
      entries<float>(call_.dweight)[r] += sum_of_lanes(lanes);
    }
  }

  const FfnBlock& block_;
  const BackwardCall& call_;
  const FfnWeights& weights_;
  const PackedMatrix::Impl &gate_up_, &down_t_, &gate_up_t_;
  const FfnBackwardScratch scratch_;
  std::byte* memory_;
  float *product_, *a_;
  const std::byte *x_, *d_out_;  // of the block's entries
};

void check_transposed(const FfnBlock& block, const BackwardCall& call) {
  const FfnWeights& w = call.weights[block.group];
  const FfnWeights& t = call.transposed[block.group];
  const DType operand = call.x.dtype;
  SWITCHYARD_CHECK(t.gate_up.n() == w.gate_up.k() && t.gate_up.k() == w.gate_up.n() && t.down.n() == w.down.k() &&
                       t.down.k() == w.down.n() && t.gate_up.operand() == operand && t.down.operand() == operand &&
                       t.gate_up.impl().order == RowOrder::plain && t.down.impl().order == RowOrder::plain,
                   "grouped_ffn_backward: group {}: gate_up [{}, {}], transposed [{}, {}] {}, down [{}, {}], "
                   "transposed [{}, {}] {}",
                   block.group, w.gate_up.n(), w.gate_up.k(), t.gate_up.n(), t.gate_up.k(),
                   name_of(t.gate_up.operand()), w.down.n(), w.down.k(), t.down.n(), t.down.k(),
                   name_of(t.down.operand()));
  SWITCHYARD_CHECK(call.scaled_h.row_elements() == w.down.k() && call.d_gate_up.row_elements() == w.gate_up.n(),
                   "grouped_ffn_backward: group {}: {} hidden values, scaled_h {}, d_gate_up {}", block.group,
                   w.down.k(), call.scaled_h.shape.str(), call.d_gate_up.shape.str());
}

void check_views(const BackwardCall& call) {
  const ConstView x = call.x, d_out = call.d_out, dx = call.dx;
  check_rows("grouped_ffn_backward", call.rows, call.weights.size(), x, dx);
  const int64_t rows = call.rows.offsets.back();
  const auto fits = [&](ConstView list) {
    return list.data == nullptr || (list.dtype == DType::f32 && list.elements() == rows);
  };
  SWITCHYARD_CHECK(call.transposed.size() == call.weights.size(), "grouped_ffn_backward: {} groups, {} transposed",
                   call.weights.size(), call.transposed.size());
  SWITCHYARD_CHECK(d_out.shape == x.shape && d_out.dtype == x.dtype && dx.row_elements() == x.row_elements() &&
                       call.scaled_h.rows() == rows && call.scaled_h.dtype == x.dtype &&
                       call.d_gate_up.rows() == rows && call.d_gate_up.dtype == x.dtype && fits(call.weight) &&
                       fits(call.dweight) &&
                       (call.gate_up.data == nullptr ||
                        (call.gate_up.dtype == DType::f32 && call.gate_up.shape == call.d_gate_up.shape)),
                   "grouped_ffn_backward: x {} {}, d_out {} {}, weight {}, scaled_h {} {}, d_gate_up {} {}, dx {}, "
                   "dweight {}, gate_up {}",
                   name_of(x.dtype), x.shape.str(), name_of(d_out.dtype), d_out.shape.str(), call.weight.shape.str(),
                   name_of(call.scaled_h.dtype), call.scaled_h.shape.str(), name_of(call.d_gate_up.dtype),
                   call.d_gate_up.shape.str(), dx.shape.str(), call.dweight.shape.str(), call.gate_up.shape.str());
  SWITCHYARD_CHECK(dx.dtype == DType::f32 || (dx.dtype == x.dtype && call.output == GemmOutput::store),
                   "grouped_ffn_backward of {} {} {}", name_of(x.dtype),
                   call.output == GemmOutput::store ? "stores" : "adds to", name_of(dx.dtype));
}

}  // namespace

namespace cpu {

size_t grouped_ffn_backward_bytes(ConstView, ConstView, ConstView, const GroupedRows&,
                                  std::span<const FfnWeights> weights, std::span<const FfnWeights> transposed,
                                  const GatedActivation&, GemmOutput, View, View, View, View, ConstView) {
  size_t most = 0;
  for (size_t g = 0; g < weights.size(); ++g) {
    if (weights[g].down.bytes() == 0) continue;
    const FfnBackwardScratch scratch(weights[g].gate_up.impl().panels, transposed[g].down.impl().panels,
                                     transposed[g].gate_up.impl().panels);
    most = std::max(most, scratch.layout.bytes());
  }
  return most;
}

void grouped_ffn_backward(const Stream& stream, ConstView x, ConstView d_out, ConstView weight, const GroupedRows& rows,
                          std::span<const FfnWeights> weights, std::span<const FfnWeights> transposed,
                          const GatedActivation& activation, GemmOutput output, View scaled_h, View d_gate_up, View dx,
                          View dweight, ConstView gate_up) {
  const BackwardCall call{x,      d_out,    weight,    rows, weights, transposed, activation,
                          output, scaled_h, d_gate_up, dx,   dweight, gate_up};
  check_activation(activation);
  check_biases(weights);
  check_views(call);
  const auto blocks =
      ffn_blocks("grouped_ffn_backward", rows.offsets, weights, x.row_elements(), x.dtype, stream.pool->num_threads());
  for (const FfnBlock& block : blocks) check_transposed(block, call);
  stream.parallel_for(std::ssize(blocks),
                      [&](int64_t i, int) { BlockBackward(blocks[static_cast<size_t>(i)], call).run(); });
}

}  // namespace cpu
}  // namespace switchyard
