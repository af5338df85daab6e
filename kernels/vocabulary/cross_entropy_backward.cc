#include <algorithm>

#include "kernels/cpu/scratch_layouts.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/products/cpu/packed_matrix_impl.h"
#include "kernels/row_blocks.h"
#include "kernels/vocabulary/cross_entropy.h"

namespace switchyard::cpu {
namespace {

/// One row of one panel; target: its column, which may lie elsewhere.
template <class T>
void differentiate(const float* logits, int64_t columns, int64_t target, float lse, float scale, T* d_logits) {
  for_lanes(columns,
            [&](int64_t i, auto read, auto write) { write(d_logits + i, exp(read(logits + i) - lse) * scale); });
  if (target >= 0 && target < columns)
    store_part(d_logits + target, broadcast((exp_f32(logits[target] - lse) - 1) * scale), 1);
}

}  // namespace

size_t cross_entropy_backward_bytes(ConstView, const PackedMatrix& head, ConstView, ConstView, ConstView, float,
                                    int64_t, View) {
  return PanelScratch(head.impl().panels).layout.bytes();
}

// A task is a panel of the vocabulary and a block of rows, as in gemm.
void cross_entropy_backward(const Stream& stream, ConstView x, const PackedMatrix& head, ConstView target,
                            ConstView lse, ConstView weight, float scale, int64_t first_id, View d_logits) {
  const int64_t rows = x.rows(), vocab = head.n(), ids = d_logits.row_elements();
  SWITCHYARD_CHECK(x.dtype == head.operand() && x.row_elements() == head.k() && target.elements() == rows &&
                       lse.elements() == rows && (weight.data == nullptr || weight.elements() == rows) &&
                       d_logits.dtype == x.dtype && d_logits.rows() == rows && head.impl().order == RowOrder::plain,
                   "cross_entropy_backward: x {} {}, head {} [{}, {}], target {}, lse {}, weight {}, d_logits {} {}",
                   name_of(x.dtype), x.shape.str(), name_of(head.operand()), vocab, head.k(), target.shape.str(),
                   lse.shape.str(), weight.shape.str(), name_of(d_logits.dtype), d_logits.shape.str());
  SWITCHYARD_CHECK(first_id >= 0 && first_id % kPanelColumns == 0 && first_id + ids <= vocab,
                   "cross_entropy_backward: tokens [{}, {}) of {}, in panels of {}", first_id, first_id + ids, vocab,
                   kPanelColumns);
  check_targets(target, vocab);
  if (rows == 0) return;
  const PackedMatrix::Impl& matrix = head.impl();
  const MatrixPanels& panels = matrix.panels;
  const PanelScratch scratch(panels);
  const int64_t rows_per_task = panels.rows_per_task(PanelScratch::kRows, 1024);
  const int64_t num_blocks = (rows + rows_per_task - 1) / rows_per_task;
  const int64_t num_panels = (ids + kPanelColumns - 1) / kPanelColumns, first_panel = first_id / kPanelColumns;
  const auto* in = static_cast<const std::byte*>(x.data);
  const auto* targets = target.as<int32_t>();
  const auto *log_sums = lse.as<float>(), *weights_of_rows = weight.as<float>();

  stream.parallel_for(num_blocks * num_panels, [&](int64_t task, int) {
    const int64_t panel = first_panel + task % num_panels, first_column = panels.first_column(panel);
    const int64_t stride = panels.columns(panel), columns = std::min(stride, first_id + ids - first_column);
    const int64_t begin = task / num_panels * rows_per_task, end = std::min(rows, begin + rows_per_task);
    std::byte* memory = thread_scratch(scratch.layout.bytes());
    auto* logits = reinterpret_cast<float*>(memory + scratch.out);
    const std::byte* weights = matrix.prepared(panel, memory + scratch.widened);
    for (int64_t first = begin; first < end; first += PanelScratch::kRows) {
      const int64_t count = std::min(PanelScratch::kRows, end - first);
      panels.product(panel).run(in + static_cast<size_t>(first) * panels.row_bytes(), count, weights, logits,
                                memory + scratch.workspace);
      with_float_type(d_logits.dtype, "cross_entropy_backward", [&](auto element) {
        auto* out = d_logits.as<decltype(element)>() + first_column - first_id;
        for (int64_t r = first; r < first + count; ++r)
          differentiate(logits + (r - first) * stride, columns, targets[r] - first_column, log_sums[r],
                        weights_of_rows == nullptr ? scale : scale * weights_of_rows[r], out + r * ids);
      });
    }
  });
}

}  // namespace switchyard::cpu
