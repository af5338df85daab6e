#include "kernels/products/cpu/ffn_blocks.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/scratch_layouts.h"
#include "kernels/products/cpu/packed_matrix_impl.h"

namespace switchyard {
namespace {

void check_fits(std::string_view op, size_t group, const FfnWeights& w, int64_t dim, DType operand) {
  SWITCHYARD_CHECK(w.gate_up.k() == dim && w.down.n() == dim && w.gate_up.n() == 2 * w.down.k() &&
                       w.gate_up.operand() == operand && w.down.operand() == operand &&
                       w.gate_up.impl().order == RowOrder::gate_up && w.down.impl().order == RowOrder::plain,
                   "{}: rows of {} {}, group {}: gate_up [{}, {}] {}, down [{}, {}] {}", op, dim, name_of(operand),
                   group, w.gate_up.n(), w.gate_up.k(), name_of(w.gate_up.operand()), w.down.n(), w.down.k(),
                   name_of(w.down.operand()));
}

}  // namespace

void check_rows(std::string_view op, const GroupedRows& rows, size_t num_groups, ConstView x, ConstView y) {
  const ListedRows in(x, rows.input_row), out(y, rows.output_row);
  SWITCHYARD_CHECK(rows.offsets.size() == num_groups + 1 && rows.offsets.back() <= in.count() &&
                       rows.offsets.back() <= out.count() && in.exist() && out.exist(),
                   "{}: {} offsets for {} groups, {} entries of x {}, {} of y {}", op, rows.offsets.size(), num_groups,
                   in.count(), x.shape.str(), out.count(), y.shape.str());
}

std::vector<FfnBlock> ffn_blocks(std::string_view op, std::span<const int64_t> offsets,
                                 std::span<const FfnWeights> weights, int64_t dim, DType operand, int num_threads) {
  constexpr int64_t kWhole = FfnScratch::kBlockRows;
  // Where there are few rows, smaller blocks keep more threads busy.
  const int64_t native_block = offsets.back() < kWhole * 4 * num_threads ? kWhole / 2 : kWhole;
  std::vector<FfnBlock> blocks;
  for (size_t g = 0; g < weights.size(); ++g) {
    const int64_t end = offsets[g + 1];
    if (end == offsets[g]) continue;
    check_fits(op, g, weights[g], dim, operand);
    // What is left after whole blocks joins the last one: a short task would fetch the weights for a few rows.
    const int64_t block = weights[g].gate_up.impl().panels.rows_per_task(native_block, kWhole);
    for (int64_t i = offsets[g]; i < end; i += blocks.back().count)
      blocks.push_back({g, i, end - i <= block + FfnScratch::kRemainder ? end - i : block});
  }
  // Whole blocks first, a group's one after the other while its weights are in the cache; then ever shorter ones, which
  // fill the end.
  std::stable_sort(blocks.begin(), blocks.end(), [&](const FfnBlock& a, const FfnBlock& b) {
    return std::min(a.count, native_block) > std::min(b.count, native_block);
  });
  return blocks;
}

const std::byte* rows_of(const ListedRows& rows, const FfnBlock& block, std::byte* to) {
  const ConstView& x = rows.of;
  const size_t row_bytes = static_cast<size_t>(x.row_elements()) * size_of(x.dtype);
  const auto row_at = [&](int64_t i) {
    return static_cast<const std::byte*>(x.data) + static_cast<size_t>(rows[i]) * row_bytes;
  };
  if (rows.list.empty()) return row_at(block.first);
  for (int64_t i = 0; i < block.count; ++i)
    std::memcpy(to + static_cast<size_t>(i) * row_bytes, row_at(block.first + i), row_bytes);
  return to;
}

}  // namespace switchyard
