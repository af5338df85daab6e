#include <algorithm>
#include <vector>

#include "kernels/row_blocks.h"
#include "kernels/rows/cpu/norm_row.h"
#include "kernels/rows/rms_norm.h"

namespace switchyard {
namespace {

/// Rows of one operand after the other, by what they have in common.
struct Backward {
  const float *x, *weight, *dy;
  float* inverse_rms;
  float* dx;
  int64_t dim;
  float eps;
  GemmOutput output;
};

void find_inverse_rms(const Backward& b, int64_t first, int64_t end) {
  for (int64_t r = first; r < end; ++r) b.inverse_rms[r] = inverse_rms_of(b.x + r * b.dim, b.dim, b.eps);
}

/// sum[i] += dy[r, i] · x[r, i] · s_r, row by row, of the columns [column, column + count).   sum: [count]
void add_weight_gradient(const Backward& b, int64_t first, int64_t end, int64_t column, int64_t count, float* sum) {
  for (int64_t r = first; r < end; ++r) {
    const float *x = b.x + r * b.dim + column, *dy = b.dy + r * b.dim + column;
    const F32x8 scale = broadcast(b.inverse_rms[r]);
    for_lanes(count, [&](int64_t i, auto read, auto write) {
      write(sum + i, fma(read(dy + i), read(x + i) * scale, read(sum + i)));
    });
  }
}

void find_gradient(const Backward& b, int64_t first, int64_t end) {
  for (int64_t r = first; r < end; ++r) {
    const float *x = b.x + r * b.dim, *w = b.weight, *dy = b.dy + r * b.dim;
    float* dx = b.dx + r * b.dim;
    const auto scaled = [&](int64_t i, auto read) { return w != nullptr ? read(dy + i) * read(w + i) : read(dy + i); };
    F32x8 sum = broadcast(0);
    for_lanes(b.dim, [&](int64_t i, auto read, auto) { sum = fma(scaled(i, read), read(x + i), sum); });
    const float inverse_rms = b.inverse_rms[r];
    const F32x8 along = broadcast(inverse_rms * inverse_rms * sum_of_lanes(sum) / static_cast<float>(b.dim));
    for_lanes(b.dim, [&](int64_t i, auto read, auto write) {
      const F32x8 gradient = fma(-read(x + i), along, scaled(i, read)) * inverse_rms;
      write(dx + i, b.output == GemmOutput::add ? read(dx + i) + gradient : gradient);
    });
  }
}

/// Each slice's sums.   sums: [slices, dim], zero
void sum_weight_gradients(const Stream& stream, const Backward& b, const SlicedRows& rows, std::span<float> sums) {
  constexpr int64_t kFewestColumns = 16, kMostColumns = 64;  // a cache line of a row, and four
  const int64_t share = b.dim / stream.pool->num_threads();
  const int64_t columns = std::clamp(share / kFewestColumns * kFewestColumns, kFewestColumns, kMostColumns);
  const int64_t strips = (b.dim + columns - 1) / columns;
  stream.parallel_for(rows.slices.count() * strips, [&](int64_t task, int) {
    const int64_t slice = task / strips, first = task % strips * columns;
    const auto of_slice = rows.offsets.subspan(static_cast<size_t>(slice), 2);
    add_weight_gradient(b, of_slice[0], of_slice[1], first, std::min(columns, b.dim - first),
                        sums.data() + slice * b.dim + first);
  });
}

/// All of it in one pass, slice by slice, which threads have several of.   sums: as above
void sum_and_find_gradient(const Stream& stream, const Backward& b, const SlicedRows& rows, std::span<float> sums) {
  constexpr int64_t kRowsAtOnce = 8;  // that stay in the nearest cache
  stream.parallel_for(rows.slices.count(), [&](int64_t slice, int) {
    const int64_t last = rows.offsets[static_cast<size_t>(slice) + 1];
    for (int64_t first = rows.offsets[static_cast<size_t>(slice)]; first < last; first += kRowsAtOnce) {
      const int64_t end = std::min(first + kRowsAtOnce, last);
      find_inverse_rms(b, first, end);
      add_weight_gradient(b, first, end, 0, b.dim, sums.data() + slice * b.dim);
      find_gradient(b, first, end);
    }
  });
}

/// Up the tree: into the node's first slice's.   sums: [slices, dim] of the node
void add_up(std::span<float> sums, int64_t slices, int64_t dim) {
  for (int64_t apart = 1; apart < slices; apart *= 2)
    for (int64_t slice = 0; slice < slices; slice += 2 * apart)
      add_to(sums.data() + slice * dim, sums.data() + (slice + apart) * dim, dim);
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

// dx comes last: it may be written over dy.
void rms_norm_backward(const Stream& stream, ConstView x, ConstView weight, float eps, ConstView dy,
                       const SlicedRows& rows, GemmOutput output, View inverse_rms, View dx,
                       std::span<const View> dweight) {
  check_backward(x, weight, dy, rows, inverse_rms, dx, dweight);
  const int64_t dim = x.row_elements(), num_slices = rows.slices.count();
  const Backward b{x.as<float>(), weight.as<float>(), dy.as<float>(), inverse_rms.as<float>(), dx.as<float>(), dim, eps,
                   output};
  std::vector<float> sums(dweight.empty() ? 0 : static_cast<size_t>(num_slices * dim));
  const auto for_rows = [&](const auto& work) {
    for_row_blocks(stream, x.rows(), [&](int64_t first, int64_t count) { work(b, first, first + count); });
  };
  if (!dweight.empty() && num_slices >= int64_t{2} * stream.pool->num_threads()) {
    sum_and_find_gradient(stream, b, rows, sums);
  } else {
    for_rows(find_inverse_rms);
    if (!dweight.empty()) sum_weight_gradients(stream, b, rows, sums);
    for_rows(find_gradient);
  }
  for (float& sum : sums) sum = rows.squared ? sum * sum : sum + 0.0f;  // never −0
  for (size_t i = 0; const SliceRange& node : tree_nodes(rows.slices)) {
    if (dweight.empty()) break;
    const auto of_node = std::span(sums).subspan(static_cast<size_t>((node.first - rows.slices.first) * dim),
                                                 static_cast<size_t>(node.count() * dim));
    add_up(of_node, node.count(), dim);
    std::copy_n(of_node.begin(), dim, dweight[i++].as<float>());
  }
}

}  // namespace cpu
}  // namespace switchyard
