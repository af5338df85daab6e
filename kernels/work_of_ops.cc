// What ops do, in numbers: the operations of products, and what their rate depends on. Other ops pass over memory.
#include <algorithm>

#include "kernels/attention/attention.h"
#include "kernels/attention/rope.h"
#include "kernels/products/gemm.h"
#include "kernels/products/grouped_ffn_backward.h"
#include "kernels/products/weight_gradient.h"
#include "kernels/routing/permute.h"
#include "kernels/vocabulary/cross_entropy.h"
#include "kernels/vocabulary/embedding.h"
#include "kernels/vocabulary/sample_tokens.h"

namespace switchyard {
namespace {

Work work_of_product(DType dtype, int64_t rows, int64_t n, int64_t k) {
  const auto r = static_cast<double>(rows), columns = static_cast<double>(n), inner = static_cast<double>(k);
  return {.dtype = dtype, .amount = 2 * r * columns * inner, .size = {r, columns, inner}};
}

double pairs_of_records(ConstView record_offsets, const KeySpan& span, int64_t tokens) {
  const int64_t records = record_offsets.rows() - 1;
  if (record_offsets.device != Device::cpu) {
    const int64_t length = std::max<int64_t>(1, tokens / std::max<int64_t>(1, records));
    return static_cast<double>(span.num_pairs(length)) / static_cast<double>(length) * static_cast<double>(tokens);
  }
  const std::span<const int64_t> offsets = record_offsets.span<int64_t>();
  double pairs = 0;
  for (size_t i = 1; i < offsets.size(); ++i) pairs += static_cast<double>(span.num_pairs(offsets[i] - offsets[i - 1]));
  return pairs;
}

/// products: of vectors of head_dim, and of value_dim, that are taken of each pair of a query and a key.
Work work_of_attention(ConstView q, ConstView k, ConstView v, ConstView record_offsets, const KeySpan& span,
                       DType dtype, double of_head, double of_value) {
  const int64_t tokens = q.shape[0], heads = q.shape[1];
  const double pairs = pairs_of_records(record_offsets, span, tokens);
  const auto head_dim = static_cast<double>(q.shape[2]), value_dim = static_cast<double>(v.shape[2]);
  return {.dtype = dtype,
          .amount = 2 * static_cast<double>(heads) * pairs * (of_head * head_dim + of_value * value_dim),
          .size = {pairs / static_cast<double>(std::max<int64_t>(1, tokens)), head_dim + value_dim,
                   static_cast<double>(heads) / static_cast<double>(k.shape[1]), static_cast<double>(tokens * heads)}};
}

}  // namespace

Work gemm_work(ConstView x, const PackedMatrix& w, GemmOutput, View) {
  return work_of_product(w.operand(), x.rows(), w.n(), w.k());
}

Work work_of_groups(ConstView x, const GroupedRows& rows, std::span<const FfnWeights> weights, double products) {
  const auto there = std::ranges::find_if(weights, [](const FfnWeights& w) { return w.down.bytes() > 0; });
  if (there == weights.end()) return {};
  const auto entries = static_cast<double>(rows.input_row.empty() ? x.rows() : std::ssize(rows.input_row));
  const double groups = std::clamp(entries, 1.0, static_cast<double>(rows.offsets.size() - 1));
  const auto d = static_cast<double>(there->down.n()), f = static_cast<double>(there->down.k());
  return {.dtype = there->down.operand(),
          .amount = 2 * products * entries * d * f,
          .size = {entries / groups, groups, d, f}};
}

Work grouped_ffn_work(ConstView x, const GroupedRows& rows, std::span<const FfnWeights> weights, const GatedActivation&,
                      GemmOutput, View) {
  return work_of_groups(x, rows, weights, 3);
}

Work grouped_ffn_taped_work(ConstView x, const GroupedRows& rows, std::span<const FfnWeights> weights,
                            const GatedActivation&, View, View) {
  return work_of_groups(x, rows, weights, 3);
}

Work grouped_ffn_backward_work(ConstView x, ConstView, ConstView, const GroupedRows& rows,
                               std::span<const FfnWeights> weights, std::span<const FfnWeights>, const GatedActivation&,
                               GemmOutput, View, View, View, View, ConstView gate_up) {
  return work_of_groups(x, rows, weights, gate_up.shape.rank() > 0 ? 3 : 5);
}

Work weight_gradient_work(ListedRows dy, ListedRows x, const SlicedRows& rows, std::span<const ElementBits>,
                          std::span<const View>) {
  const auto groups = static_cast<double>(rows.num_groups());
  const auto entries = static_cast<double>(rows.num_rows());
  const auto n = static_cast<double>(dy.of.row_elements()), k = static_cast<double>(x.of.row_elements());
  return {.dtype = dy.of.dtype, .amount = 2 * entries * n * k, .size = {entries / groups, groups, n, k}};
}

Work attention_work(ConstView q, ConstView k, ConstView v, ConstView record_offsets, const KeySpan& span, ConstView,
                    float, View, View out) {
  return work_of_attention(q, k, v, record_offsets, span, out.dtype, 1, 1);
}

Work attention_backward_work(ConstView q, ConstView k, ConstView v, ConstView record_offsets, const KeySpan& span,
                             ConstView, float, ConstView, ConstView, ConstView, View, View, View) {
  return work_of_attention(q, k, v, record_offsets, span, DType::f32, 3, 2);
}

Work cross_entropy_work(ConstView x, const PackedMatrix& head, ConstView, View, View, View, View) {
  return work_of_product(head.operand(), x.rows(), head.n(), head.k());
}

Work cross_entropy_backward_work(ConstView x, const PackedMatrix& head, ConstView, ConstView, ConstView, float, int64_t,
                                 View d_logits) {
  return work_of_product(head.operand(), x.rows(), d_logits.row_elements(), head.k());
}

Work sample_tokens_work(ConstView x, const PackedMatrix& head, ConstView, ConstView, View, View) {
  return work_of_product(head.operand(), x.rows(), std::min<int64_t>(512, head.n()), head.k());
}

Work embedding_work(ConstView, ConstView, View y) {
  return pass_over(y);
}

Work gather_rows_work(ConstView, ConstView, View y) {
  return pass_over(y);
}

Work rope_work(ConstView, ConstView, RotaryPairs, int64_t, View x) {
  return pass_over(x);
}

}  // namespace switchyard
