#include "kernels/products/gemm.h"

#include "kernels/cpu/scratch_layouts.h"
#include "kernels/products/cpu/packed_matrix_impl.h"
#include "kernels/products/cpu/put_row.h"

namespace switchyard {

PanelScratch::PanelScratch(const MatrixPanels& w) {
  out = layout.add(static_cast<size_t>((kRows + kMaxPaddingRows) * kPanelColumns) * sizeof(float));
  widened = layout.add(w.widened_bytes());
  workspace = layout.add(w.workspace_bytes());
}

namespace cpu {

size_t gemm_bytes(ConstView, const PackedMatrix& w, GemmOutput, View) {
  return PanelScratch(w.impl().panels).layout.bytes();
}

// A task is a panel of W and a block of rows; the product of 128 rows is completed in scratch, then stored or added.
void gemm(const Stream& stream, ConstView x, const PackedMatrix& w, GemmOutput output, View y) {
  const int64_t rows = x.rows(), n = w.n();
  SWITCHYARD_CHECK(x.dtype == w.operand() && x.row_elements() == w.k() && y.rows() == rows && y.row_elements() == n &&
                       w.impl().order == RowOrder::plain,
                   "gemm: x {} {}, w {} [{}, {}], y {}", name_of(x.dtype), x.shape.str(), name_of(w.operand()), n,
                   w.k(), y.shape.str());
  if (rows == 0) return;
  const PackedMatrix::Impl& matrix = w.impl();
  const MatrixPanels& panels = matrix.panels;
  const PanelScratch scratch(panels);
  const int64_t rows_per_task = panels.rows_per_task(PanelScratch::kRows, 1024);
  const int64_t num_blocks = (rows + rows_per_task - 1) / rows_per_task;
  const auto* in = static_cast<const std::byte*>(x.data);
  auto* out = y.as<float>();
  const bool past_caches = output == GemmOutput::store && goes_past_caches(y);

  stream.parallel_for(num_blocks * panels.count(), [&](int64_t task, int) {
    const int64_t panel = task % panels.count(), columns = panels.columns(panel);
    const int64_t begin = task / panels.count() * rows_per_task, end = std::min(rows, begin + rows_per_task);
    std::byte* memory = thread_scratch(scratch.layout.bytes());
    auto* product = reinterpret_cast<float*>(memory + scratch.out);
    const std::byte* weights = matrix.prepared(panel, memory + scratch.widened);
    for (int64_t first = begin; first < end; first += PanelScratch::kRows) {
      const int64_t count = std::min(PanelScratch::kRows, end - first);
      panels.product(panel).run(in + static_cast<size_t>(first) * panels.row_bytes(), count, weights, product,
                                memory + scratch.workspace);
      for (int64_t r = 0; r < count; ++r)
        put_row(product + r * columns, columns, output, past_caches,
                out + (first + r) * n + panels.first_column(panel));
    }
    if (past_caches) _mm_sfence();
  });
}

}  // namespace cpu

}  // namespace switchyard
