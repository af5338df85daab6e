#include "kernels/routing/group_by_expert.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace switchyard {

void check_group_by_expert(ConstView expert_of, ConstView offsets, ConstView input_row, ConstView output_row,
                           ConstView total) {
  const int64_t assignments = expert_of.elements();
  SWITCHYARD_CHECK(expert_of.shape.rank() == 2 && assignments <= std::numeric_limits<int32_t>::max() &&
                       offsets.elements() == total.elements() + 1 && input_row.elements() == assignments &&
                       output_row.elements() == assignments,
                   "group_by_expert: expert_of {}, offsets {}, input_row {}, output_row {}, total {}",
                   expert_of.shape.str(), offsets.shape.str(), input_row.shape.str(), output_row.shape.str(),
                   total.shape.str());
}

/// A counting sort by one thread: two passes over a few bytes for every row of a product.
void cpu::group_by_expert(const Stream&, ConstView expert_of, View offsets, View input_row, View output_row,
                          View total) {
  check_group_by_expert(expert_of, offsets, input_row, output_row, total);
  const int64_t assignments = expert_of.elements(), k = expert_of.shape[1], experts = total.elements();
  const auto* chosen = expert_of.as<int32_t>();
  auto* offset = offsets.as<int64_t>();
  auto* count = total.as<int64_t>();
  auto* token = input_row.as<int32_t>();
  auto* assignment = output_row.as<int32_t>();

  std::fill_n(offset, experts + 1, 0);
  for (int64_t i = 0; i < assignments; ++i) {
    SWITCHYARD_CHECK(chosen[i] >= 0 && chosen[i] < experts, "group_by_expert: token {}, slot {}: expert {} of {}",
                     i / k, i % k, chosen[i], experts);
    ++offset[chosen[i] + 1];
  }
  for (int64_t e = 0; e < experts; ++e) {
    count[e] += offset[e + 1];
    offset[e + 1] += offset[e];
  }
  std::vector<int64_t> next(offset, offset + experts);
  for (int64_t i = 0; i < assignments; ++i) {
    const int64_t place = next[static_cast<size_t>(chosen[i])]++;
    token[place] = static_cast<int32_t>(i / k);
    assignment[place] = static_cast<int32_t>(i);
  }
}

}  // namespace switchyard
