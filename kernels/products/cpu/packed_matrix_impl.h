// Internal to kernels/: what a PackedMatrix holds, and its product panel by panel.
#pragma once

#include <algorithm>
#include <memory>

#include "kernels/products/cpu/panel_product.h"
#include "kernels/products/packed_matrix.h"

namespace switchyard {

/// A matrix's panels: sizes and products, known from the shape alone.
class MatrixPanels {
 public:
  MatrixPanels(int64_t n, int64_t k, DType operand);

  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  DType operand() const { return operand_; }
  int64_t count() const { return (n_ + kPanelColumns - 1) / kPanelColumns; }
  int64_t first_column(int64_t panel) const { return panel * kPanelColumns; }
  int64_t columns(int64_t panel) const { return std::min(kPanelColumns, n_ - first_column(panel)); }
  int64_t max_columns() const { return columns(0); }
  const PanelProduct& product(int64_t panel) const { return panel + 1 < count() ? *full_ : *last_; }
  size_t offset(int64_t panel) const { return static_cast<size_t>(panel) * full_->panel_bytes(); }
  size_t bytes() const { return offset(count() - 1) + last_->panel_bytes(); }
  size_t row_bytes() const { return static_cast<size_t>(k_) * size_of(operand_); }  ///< of x

  /// A panel that is widened at each use wants more rows to a task.
  int64_t rows_per_task(int64_t native, int64_t widened) const { return full_->emulated() ? widened : native; }
  size_t workspace_bytes() const;
  size_t widened_bytes() const { return std::max(full_->widened_bytes(), last_->widened_bytes()); }

 private:
  int64_t n_, k_;
  DType operand_;
  const PanelProduct *full_, *last_;
};

/// In RowOrder::gate_up the first half of a panel's outputs is gate's, the second up's of the same columns.
struct PackedMatrix::Impl {
  MatrixPanels panels;
  RowOrder order;
  std::unique_ptr<std::byte, void (*)(std::byte*)> small;  // below a page-rounding's worth: from the heap
  Memory large;
  std::byte* data = nullptr;

  Impl(const MatrixPanels& shape, RowOrder order);
  void allocate();  ///< zero
  std::byte* panel(int64_t index) const { return data + panels.offset(index); }
  /// Ready for PanelProduct::run.
  const std::byte* prepared(int64_t index, std::byte* widened) const {
    return panels.product(index).prepare(panel(index), widened);
  }
};

}  // namespace switchyard
