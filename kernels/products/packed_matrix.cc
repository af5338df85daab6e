#include "kernels/products/packed_matrix.h"

#include <cstring>
#include <new>
#include <type_traits>
#include <vector>

#include "base/memory.h"
#include "kernels/products/cpu/packed_matrix_impl.h"
#include "kernels/products/cuda/matrix.h"

namespace switchyard {
namespace {

constexpr std::align_val_t kAlignment{64};
constexpr size_t kLargeBytes = size_t{1} << 20;  // from here on whole pages cost little, and may be huge pages

void deallocate(std::byte* p) {
  ::operator delete(p, kAlignment);
}

}  // namespace

MatrixPanels::MatrixPanels(int64_t n, int64_t k, DType operand) : n_(n), k_(k), operand_(operand) {
  SWITCHYARD_CHECK(n >= 1 && k >= 1, "a matrix of {} outputs, {} inputs", n, k);
  last_ = &PanelProduct::of(columns(count() - 1), k, operand);
  full_ = count() == 1 ? last_ : &PanelProduct::of(kPanelColumns, k, operand);
}

size_t MatrixPanels::workspace_bytes() const {
  return std::max(full_->workspace_bytes(), last_->workspace_bytes());
}

PackedMatrix::Impl::Impl(const MatrixPanels& shape, RowOrder row_order)
    : panels(shape), order(row_order), small(nullptr, deallocate) {}

void PackedMatrix::Impl::allocate() {
  const size_t bytes = panels.bytes();
  if (bytes < kLargeBytes) {
    small.reset(static_cast<std::byte*>(::operator new(bytes, kAlignment)));
    std::memset(small.get(), 0, bytes);
  } else {
    large = Memory(bytes);
  }
  data = small ? small.get() : large.data();
}

PackedMatrix::PackedMatrix() = default;
PackedMatrix::PackedMatrix(PackedMatrix&&) noexcept = default;
PackedMatrix& PackedMatrix::operator=(PackedMatrix&&) noexcept = default;
PackedMatrix::~PackedMatrix() = default;
PackedMatrix::PackedMatrix(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PackedMatrix::PackedMatrix(std::shared_ptr<const cuda::Matrix> matrix) : cuda_(std::move(matrix)) {}

PackedMatrix PackedMatrix::uninitialised(int64_t n, int64_t k, DType operand, RowOrder order) {
  SWITCHYARD_CHECK(order == RowOrder::plain || n % 2 == 0, "gate and up of {} rows together", n);
  auto impl = std::make_unique<Impl>(MatrixPanels(n, k, operand), order);
  impl->allocate();
  return PackedMatrix(std::move(impl));
}

PackedMatrix PackedMatrix::pack(ConstView source, DType operand, RowOrder order) {
  PackedMatrix packed = uninitialised(source.rows(), source.row_elements(), operand, order);
  packed.rewrite(nullptr, source);
  return packed;
}

void PackedMatrix::rewrite(const Stream* stream, ConstView source) {
  SWITCHYARD_CHECK(source.rows() == n() && source.row_elements() == k(), "{} packed where [{}, {}] was",
                   source.shape.str(), n(), k());
  write(stream, source.as<float>(), k(), 1, 0, n());
}

void PackedMatrix::rewrite_rows(const Stream* stream, ConstView source, int64_t first_row) {
  static_assert(kRowsTogether == kPanelColumns);
  const int64_t rows = source.rows(), end = first_row + rows;
  SWITCHYARD_CHECK(impl_->order == RowOrder::plain && source.row_elements() == k() && first_row % kRowsTogether == 0 &&
                       (rows % kRowsTogether == 0 ? end <= n() : end == n()),
                   "rows {} to {} packed where [{}, {}] was", first_row, end, n(), k());
  write(stream, source.as<float>(), k(), 1, first_row, rows);
}

void PackedMatrix::rewrite_transposed(const Stream* stream, ConstView source) {
  SWITCHYARD_CHECK(source.rows() == k() && source.row_elements() == n(), "{} packed, transposed, where [{}, {}] was",
                   source.shape.str(), n(), k());
  write(stream, source.as<float>(), 1, n(), 0, n());
}

// Rows [first_row, first_row + rows), whole panels. The element of row first_row + i, column j lies at
// source[i · row_stride + j · column_stride].
void PackedMatrix::write(const Stream* stream, const float* source, int64_t row_stride, int64_t column_stride,
                         int64_t first_row, int64_t rows) {
  SWITCHYARD_CHECK(impl_ && impl_->data != nullptr, "a packed matrix that is not on the CPU, or a shape, written over");
  const MatrixPanels& panels = impl_->panels;
  const auto write_panel = [&](int64_t p) {
    const int64_t columns = panels.columns(p), first = panels.first_column(p), half = columns / 2;
    const auto part = [&](int64_t row, int64_t first_output, int64_t count) {
      return PanelPart{source + (row - first_row) * row_stride, row_stride, column_stride, first_output, count};
    };
    if (impl_->order == RowOrder::plain)
      panels.product(p).pack({{part(first, 0, columns)}}, impl_->panel(p));
    else
      panels.product(p).pack({{part(first / 2, 0, half), part((n() + first) / 2, half, half)}}, impl_->panel(p));
  };
  const int64_t first = first_row / kPanelColumns, count = (rows + kPanelColumns - 1) / kPanelColumns;
  if (stream == nullptr)
    for (int64_t i = 0; i < count; ++i) write_panel(first + i);
  else
    stream->parallel_for(count, [&](int64_t i, int) { write_panel(first + i); });
}

namespace {

/// Where a matrix has the weight of an output and an input, as elements of type T. All that takes divisions is known
/// for each output beforehand.
template <class T>
class Places {
 public:
  Places(const PackedMatrix::Impl& matrix, int64_t n)
      : panels_(matrix.panels), data_(reinterpret_cast<T*>(matrix.data)) {
    const bool gate_up = matrix.order == RowOrder::gate_up;
    const int64_t half = gate_up ? n / 2 : n, of_half = gate_up ? kPanelColumns / 2 : kPanelColumns;
    for (int64_t output = 0; output < n; ++output) {
      const int64_t row = output % half, panel = row / of_half;
      const int64_t column = row % of_half + (output < half ? 0 : panels_.columns(panel) / 2);
      const PanelLayout& layout = panels_.product(panel).layout();
      outputs_.push_back({data_ + panels_.offset(panel) / sizeof(T) + place_in_panel(layout, column, 0), &layout});
    }
  }
  void write(int64_t output, int64_t input, float value) const {
    const auto& [first, layout] = outputs_[static_cast<size_t>(output)];
    T& to = layout->together == 2 ? first[(input >> 1) * layout->input_stride + (input & 1)]
                                  : first[input * layout->input_stride];
    if constexpr (std::is_same_v<T, float>)
      to = value;
    else
      to = to_bfloat16(value);
  }

 private:
  struct Output {
    T* first;
    const PanelLayout* layout;
  };
  const MatrixPanels& panels_;
  T* data_;
  std::vector<Output> outputs_;
};

}  // namespace

bool PackedMatrix::takes_members_side_by_side() const {
  const MatrixPanels& panels = impl_->panels;
  return panels.product(0).has_known_layout() && panels.product(panels.count() - 1).has_known_layout();
}

/// visit(write): write(output, input, value) puts a weight where the matrix has it.
template <class Visit>
void PackedMatrix::visit_places(const Visit& visit) {
  SWITCHYARD_CHECK(impl_ && impl_->data != nullptr, "a packed matrix that is not on the CPU, or a shape, written to");
  if (!takes_members_side_by_side()) {
    std::vector<float> values(static_cast<size_t>(n() * k()));
    const View all{values.data(), {n(), k()}, DType::f32, Device::cpu};
    read_rows(0, all);
    visit(
        [&](int64_t output, int64_t input, float value) { values[static_cast<size_t>(output * k() + input)] = value; });
    return rewrite(nullptr, all);
  }
  const auto visit_with = [&](const auto& places) {
    visit([&](int64_t output, int64_t input, float value) { places.write(output, input, value); });
  };
  if (operand() == DType::f32) return visit_with(Places<float>(*impl_, n()));
  visit_with(Places<BFloat16>(*impl_, n()));
}

void PackedMatrix::write_members(int64_t first_row, int64_t rows, const ElementBits& bits, const float* values) {
  visit_places([&](const auto& write) {
    for (int64_t row = 0; row < rows; ++row)
      bits.for_each(row * k(), k(), [&](int64_t i) { write(first_row + row, i - row * k(), *values++); });
  });
}

void PackedMatrix::write_members_transposed(int64_t first_row, int64_t rows, const ElementBits& bits,
                                            const float* values) {
  visit_places([&](const auto& write) {
    for (int64_t row = 0; row < rows; ++row)
      bits.for_each(row * n(), n(), [&](int64_t i) { write(i - row * n(), first_row + row, *values++); });
  });
}

void PackedMatrix::read_rows(int64_t first_row, View values) const {
  SWITCHYARD_CHECK(impl_ && impl_->data != nullptr, "a packed matrix that is not on the CPU, or a shape, read");
  const MatrixPanels& panels = impl_->panels;
  const int64_t rows = values.rows(), end = first_row + rows;
  SWITCHYARD_CHECK(values.row_elements() == k() && first_row % kRowsTogether == 0 &&
                       (rows % kRowsTogether == 0 ? end <= n() : end == n()) &&
                       (impl_->order == RowOrder::plain || rows == n()),
                   "rows {} to {} of [{}, {}] read", first_row, end, n(), k());
  float* to = values.as<float>();
  for (int64_t p = first_row / kPanelColumns; p * kPanelColumns < end; ++p) {
    const int64_t columns = panels.columns(p), first = panels.first_column(p), half = columns / 2;
    const auto part = [&](int64_t row, int64_t first_output, int64_t count) {
      return PanelRows{to + (row - first_row) * k(), first_output, count};
    };
    if (impl_->order == RowOrder::plain)
      panels.product(p).unpack(impl_->panel(p), {{part(first, 0, columns)}});
    else
      panels.product(p).unpack(impl_->panel(p), {{part(first / 2, 0, half), part((n() + first) / 2, half, half)}});
  }
}

PackedMatrix PackedMatrix::pack(const Stream& stream, ConstView source, DType operand, RowOrder order) {
  if (stream.device == Device::cpu) return pack(source, operand, order);
  return PackedMatrix(cuda::pack_matrix(stream, source, operand, order, cuda::layout_for(stream, operand)));
}

PackedMatrix PackedMatrix::of_shape(int64_t n, int64_t k, DType operand, RowOrder order, Device device) {
  if (device == Device::cpu) return PackedMatrix(std::make_unique<Impl>(MatrixPanels(n, k, operand), order));
  auto matrix = std::make_shared<cuda::Matrix>();
  *matrix = {n, k, operand, order, cuda::Layout::rows, {}};
  return PackedMatrix(std::move(matrix));
}

int64_t PackedMatrix::n() const {
  if (cuda_) return cuda_->n;
  return impl_ ? impl_->panels.n() : 0;
}
int64_t PackedMatrix::k() const {
  if (cuda_) return cuda_->k;
  return impl_ ? impl_->panels.k() : 0;
}
DType PackedMatrix::operand() const {
  if (cuda_) return cuda_->operand;
  return impl_ ? impl_->panels.operand() : DType::f32;
}
size_t PackedMatrix::bytes() const {
  if (cuda_) return cuda_->bytes();
  return impl_ ? impl_->panels.bytes() : 0;
}

}  // namespace switchyard
