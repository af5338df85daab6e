#include "kernels/cuda/rows.h"
#include "kernels/routing/permute.h"
#include "kernels/row_blocks.h"

namespace switchyard::cuda {
namespace {

constexpr int kUnitsInFlight = 4;  // of a thread: its index must arrive before the first of them can leave

/// Target row to[i] = source row from[i], in units of Unit; a null list stands for i itself.
template <class Unit>
__global__ void move_rows_kernel(const Unit* source, const int32_t* from, Unit* target, const int32_t* to,
                                 RowSplit split, int64_t count, int64_t units) {
  const RowShare share = row_share(split);
  if (share.row >= count) return;
  const Unit* src = source + (from != nullptr ? int64_t{from[share.row]} : share.row) * units;
  Unit* dst = target + (to != nullptr ? int64_t{to[share.row]} : share.row) * units;
  for (int64_t first = share.first; first < units; first += kUnitsInFlight * share.step) {
    Unit moved[kUnitsInFlight] = {};
    for (int j = 0; j < kUnitsInFlight; ++j)
      if (first + j * share.step < units) moved[j] = src[first + j * share.step];
    for (int j = 0; j < kUnitsInFlight; ++j)
      if (first + j * share.step < units) dst[first + j * share.step] = moved[j];
  }
}

struct Rows {
  ConstView source;
  const int32_t* from;
  View target;
  const int32_t* to;
  int64_t count;
};

/// Moves them in units of the first of these types that row length and addresses are multiples of.
template <class Unit, class... Smaller>
void move_in_units(const Stream& stream, const Rows& rows) {
  const size_t row_bytes = static_cast<size_t>(rows.source.row_elements()) * size_of(rows.source.dtype);
  const uintptr_t together =
      std::bit_cast<uintptr_t>(rows.source.data) | std::bit_cast<uintptr_t>(rows.target.data) | row_bytes;
  if constexpr (sizeof...(Smaller) > 0)
    if (together % sizeof(Unit) != 0) return move_in_units<Smaller...>(stream, rows);
  const auto units = static_cast<int64_t>(row_bytes / sizeof(Unit));
  const RowSplit split = RowSplit::of(units, kUnitsInFlight);
  launch(stream, split.shape(rows.count), move_rows_kernel<Unit>, static_cast<const Unit*>(rows.source.data), rows.from,
         static_cast<Unit*>(rows.target.data), rows.to, split, rows.count, units);
}

void move_rows(const Stream& stream, const Rows& rows) {
  SWITCHYARD_CHECK(rows.source.dtype == rows.target.dtype && rows.source.row_elements() == rows.target.row_elements(),
                   "rows of {} {} moved to rows of {} {}", name_of(rows.source.dtype), rows.source.shape.str(),
                   name_of(rows.target.dtype), rows.target.shape.str());
  move_in_units<uint4, uint2, uint32_t, uint16_t, uint8_t>(stream, rows);
}

/// A quad a thread; the weights are the same for all threads of a row. Without kWeighted they are ones.
template <class T, bool kWhole, bool kWeighted>
__global__ void combine_kernel(const T* y, const float* weight, RowSplit split, int64_t tokens, int64_t k, int64_t dim,
                               const float* base, float* out) {
  const RowShare share = row_share(split);
  if (share.row >= tokens) return;
  for (int64_t i = share.first * kQuad; i < dim; i += share.step * kQuad) {
    const T* slots = y + share.row * k * dim + i;
    float4 mixed = make_float4(0, 0, 0, 0);
    for (int64_t j = 0; j < k; ++j) {
      const float4 slot = load_quad<kWhole>(slots + j * dim, dim - i);
      const float w = kWeighted ? weight[share.row * k + j] : 1;
      mixed = make_float4(fmaf(w, slot.x, mixed.x), fmaf(w, slot.y, mixed.y), fmaf(w, slot.z, mixed.z),
                          fmaf(w, slot.w, mixed.w));
    }
    const int64_t at = share.row * dim + i;
    const float4 sum = base != nullptr ? load_quad<kWhole>(base + at, dim - i) : make_float4(0, 0, 0, 0);
    store_quad<kWhole>(out + at, make_float4(sum.x + mixed.x, sum.y + mixed.y, sum.z + mixed.z, sum.w + mixed.w),
                       dim - i);
  }
}

}  // namespace

static void run_gather_rows(const Stream& stream, ConstView x, ConstView row, View y) {
  SWITCHYARD_CHECK(row.elements() == y.rows(), "gather_rows: {} indices, y {}", row.elements(), y.shape.str());
  move_rows(stream, {x, row.as<int32_t>(), y, nullptr, row.elements()});
}
CudaOp<GatherRowsFn> gather_rows = run_gather_rows;

static void run_scatter_rows(const Stream& stream, ConstView x, ConstView row, View y) {
  SWITCHYARD_CHECK(row.elements() == x.rows(), "scatter_rows: {} indices, x {}", row.elements(), x.shape.str());
  move_rows(stream, {x, nullptr, y, row.as<int32_t>(), row.elements()});
}
CudaOp<ScatterRowsFn> scatter_rows = run_scatter_rows;

static void run_combine(const Stream& stream, ConstView y, ConstView weight, ConstView base, View out) {
  check_combine(y, weight, base, out);
  const int64_t tokens = out.rows(), dim = out.row_elements(), k = y.shape[1];
  const RowSplit split = RowSplit::of(quads_of(dim));
  with_float_type(y.dtype, "combine", [&](auto element) {
    with_bool(whole_quads(dim, {y, base, out}), [&](auto whole) {
      with_bool(weight.data != nullptr, [&](auto weighted) {
        using T = decltype(element);
        launch(stream, split.shape(tokens), combine_kernel<T, decltype(whole)::value, decltype(weighted)::value>,
               y.as<T>(), weight.as<float>(), split, tokens, k, dim, base.as<float>(), out.as<float>());
      });
    });
  });
}
CudaOp<CombineFn> combine = run_combine;

}  // namespace switchyard::cuda
