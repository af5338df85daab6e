#include "kernels/rows/rms_norm.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "kernels/cpu/vector_math.h"
#include "kernels/row_blocks.h"

namespace switchyard {
namespace {

float inverse_rms_of(const float* row, int64_t dim, float eps) {
  return 1 / std::sqrt(dot(row, row, dim) / static_cast<float>(dim) + eps);
}

/// dweight's sums over rows, of some columns.
class WeightGradient {
 public:
  static constexpr int64_t kFewestColumns = 16, kMostColumns = 64;  // a cache line of a row, and four

  WeightGradient(ConstView x, ConstView dy, ConstView inverse_rms, const SlicedRows& rows, int64_t first, int64_t count)
      : x_(x.as<float>() + first),
        dy_(dy.as<float>() + first),
        inverse_rms_(inverse_rms.as<float>()),
        dim_(x.row_elements()),
        rows_(rows),
        count_(count) {}

  using Sums = std::array<float, kMostColumns>;
  Sums of_node(const SliceRange& node) const {
    if (node.count() == 1) return of_slice(node.first - rows_.slices.first);
    const int64_t middle = node.first + node.count() / 2;
    Sums sums = of_node({node.first, middle});
    add_to(sums.data(), of_node({middle, node.end}).data(), count_);
    return sums;
  }

 private:
  Sums of_slice(int64_t index) const {
    Sums sums{};
    const auto offsets = rows_.of_group(0).subspan(static_cast<size_t>(index), 2);
    for (int64_t r = offsets[0]; r < offsets[1]; ++r) {
      const float *x = x_ + r * dim_, *dy = dy_ + r * dim_;
      const F32x8 scale = broadcast(inverse_rms_[r]);
      for_lanes(count_, [&](int64_t i, auto read, auto write) {
        write(&sums[static_cast<size_t>(i)],
              fma(read(dy + i), read(x + i) * scale, read(&sums[static_cast<size_t>(i)])));
      });
    }
    for (float& sum : sums) sum += 0.0f;  // never −0
    return sums;
  }

  const float *x_, *dy_, *inverse_rms_;
  int64_t dim_;
  const SlicedRows& rows_;
  int64_t count_;
};

void add_up_weight_gradients(const Stream& stream, ConstView x, ConstView dy, ConstView inverse_rms,
                             const SlicedRows& rows, std::span<const View> dweight) {
  const std::vector<SliceRange> nodes = tree_nodes(rows.slices);
  const int64_t dim = x.row_elements(), share = dim / stream.pool->num_threads();
  const int64_t columns = std::clamp(share / WeightGradient::kFewestColumns * WeightGradient::kFewestColumns,
                                     WeightGradient::kFewestColumns, WeightGradient::kMostColumns);
  const int64_t strips = (dim + columns - 1) / columns;
  stream.parallel_for(std::ssize(nodes) * strips, [&](int64_t task, int) {
    const auto node = static_cast<size_t>(task / strips);
    const int64_t first = task % strips * columns, count = std::min(columns, dim - first);
    const auto sums = WeightGradient(x, dy, inverse_rms, rows, first, count).of_node(nodes[node]);
    std::copy_n(sums.begin(), count, dweight[node].as<float>() + first);
  });
}

void row_gradient(const float* x, const float* w, const float* dy, float inverse_rms, int64_t dim, GemmOutput output,
                  float* dx) {
  const auto scaled = [&](int64_t i, auto read) { return w != nullptr ? read(dy + i) * read(w + i) : read(dy + i); };
  F32x8 sum = broadcast(0);
  for_lanes(dim, [&](int64_t i, auto read, auto) { sum = fma(scaled(i, read), read(x + i), sum); });
  const F32x8 along = broadcast(inverse_rms * inverse_rms * sum_of_lanes(sum) / static_cast<float>(dim));
  for_lanes(dim, [&](int64_t i, auto read, auto write) {
    const F32x8 gradient = fma(-read(x + i), along, scaled(i, read)) * inverse_rms;
    write(dx + i, output == GemmOutput::add ? read(dx + i) + gradient : gradient);
  });
}

void check_backward(ConstView x, ConstView weight, ConstView dy, const SlicedRows& rows, ConstView inverse_rms,
                    ConstView dx, std::span<const View> dweight) {
  const int64_t dim = x.row_elements();
  SWITCHYARD_CHECK((weight.data == nullptr || weight.elements() == dim) && dy.shape == x.shape && dx.shape == x.shape &&
                       inverse_rms.elements() == x.rows(),
                   "rms_norm_backward: x {}, weight {}, dy {}, inverse_rms {}, dx {}", x.shape.str(),
                   weight.shape.str(), dy.shape.str(), inverse_rms.shape.str(), dx.shape.str());
  SWITCHYARD_CHECK(std::ssize(rows.offsets) == rows.slices.count() + 1 && rows.offsets.front() == 0 &&
                       rows.num_rows() == x.rows() && std::is_sorted(rows.offsets.begin(), rows.offsets.end()),
                   "rms_norm_backward: {} offsets of {} slices do not cover {} rows in order", rows.offsets.size(),
                   rows.slices.count(), x.rows());
  SWITCHYARD_CHECK(dweight.empty() || dweight.size() == tree_nodes(rows.slices).size(),
                   "rms_norm_backward: {} sums over slices {} to {}", dweight.size(), rows.slices.first,
                   rows.slices.end);
  for (const View& sum : dweight)
    SWITCHYARD_CHECK(sum.elements() == dim, "rms_norm_backward: x {}, dweight {}", x.shape.str(), sum.shape.str());
}

}  // namespace

namespace cpu {

void rms_norm(const Stream& stream, ConstView x, ConstView weight, float eps, View y) {
  const int64_t rows = x.rows(), dim = x.row_elements();
  SWITCHYARD_CHECK((weight.data == nullptr || weight.elements() == dim) && y.rows() == rows && y.row_elements() == dim,
                   "rms_norm: x {}, weight {}, y {}", x.shape.str(), weight.shape.str(), y.shape.str());
  const auto* in = x.as<float>();
  const auto* w = weight.as<float>();
  with_float_type(y.dtype, "rms_norm", [&](auto element) {
    auto* out = y.as<decltype(element)>();
    for_row_blocks(stream, rows, [&](int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r) {
        const float* row = in + r * dim;
        const F32x8 scale = broadcast(inverse_rms_of(row, dim, eps));
        for_lanes(dim, [&](int64_t i, auto read, auto write) {
          write(out + r * dim + i, read(row + i) * scale * (w != nullptr ? read(w + i) : broadcast(1)));
        });
      }
    });
  });
}

// dx comes last: it may be written over dy.
void rms_norm_backward(const Stream& stream, ConstView x, ConstView weight, float eps, ConstView dy,
                       const SlicedRows& rows, GemmOutput output, View inverse_rms, View dx,
                       std::span<const View> dweight) {
  check_backward(x, weight, dy, rows, inverse_rms, dx, dweight);
  const int64_t dim = x.row_elements();
  const auto *in = x.as<float>(), *w = weight.as<float>(), *d_out = dy.as<float>();
  auto *inverse = inverse_rms.as<float>(), *d_in = dx.as<float>();
  for_row_blocks(stream, x.rows(), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) inverse[r] = inverse_rms_of(in + r * dim, dim, eps);
  });
  if (!dweight.empty()) add_up_weight_gradients(stream, x, dy, inverse_rms, rows, dweight);
  for_row_blocks(stream, x.rows(), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r)
      row_gradient(in + r * dim, w, d_out + r * dim, inverse[r], dim, output, d_in + r * dim);
  });
}

}  // namespace cpu
}  // namespace switchyard
