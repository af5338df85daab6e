#include "kernels/products/packed_matrix.h"

#include <new>
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
  if (bytes < kLargeBytes)
    small.reset(static_cast<std::byte*>(::operator new(bytes, kAlignment)));
  else
    large = Memory(bytes);
  data = small ? small.get() : large.data();
}

PackedMatrix::PackedMatrix() = default;
PackedMatrix::PackedMatrix(PackedMatrix&&) noexcept = default;
PackedMatrix& PackedMatrix::operator=(PackedMatrix&&) noexcept = default;
PackedMatrix::~PackedMatrix() = default;
PackedMatrix::PackedMatrix(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PackedMatrix::PackedMatrix(std::shared_ptr<const cuda::Matrix> matrix) : cuda_(std::move(matrix)) {}

PackedMatrix PackedMatrix::pack(ConstView source, DType operand, RowOrder order) {
  const int64_t n = source.rows(), k = source.row_elements();
  SWITCHYARD_CHECK(order == RowOrder::plain || n % 2 == 0, "gate and up of {} rows together", n);
  const auto* w = source.as<float>();
  auto impl = std::make_unique<Impl>(MatrixPanels(n, k, operand), order);
  impl->allocate();
  const MatrixPanels& panels = impl->panels;
  std::vector<float> paired;
  for (int64_t p = 0; p < panels.count(); ++p) {
    const float* rows = w + panels.first_column(p) * k;
    if (order == RowOrder::gate_up) {
      const float* gate = w + panels.first_column(p) / 2 * k;
      const int64_t half = panels.columns(p) / 2 * k;
      paired.assign(gate, gate + half);
      paired.insert(paired.end(), gate + n / 2 * k, gate + n / 2 * k + half);
      rows = paired.data();
    }
    panels.product(p).pack(rows, impl->panel(p));
  }
  return PackedMatrix(std::move(impl));
}

PackedMatrix PackedMatrix::pack(const Stream& stream, ConstView source, DType operand, RowOrder order) {
  if (stream.device == Device::cpu) return pack(source, operand, order);
#if defined(SWITCHYARD_CUDA)
  return PackedMatrix(cuda::pack_matrix(stream, source, operand, order));
#else
  fail(ExitCode::environment, "weights cannot be packed for a GPU: this build has no CUDA");
#endif
}

PackedMatrix PackedMatrix::of_shape(int64_t n, int64_t k, DType operand, RowOrder order, Device device) {
  if (device == Device::cpu) return PackedMatrix(std::make_unique<Impl>(MatrixPanels(n, k, operand), order));
  auto matrix = std::make_shared<cuda::Matrix>();
  *matrix = {n, k, operand, order, {}};
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
