#include "kernels/routing/cuda/group_by_expert.h"

#include <algorithm>

#include "kernels/routing/group_by_expert.h"

namespace switchyard::cuda {

int64_t group_by_expert_blocks(int64_t assignments) {
  constexpr int64_t kMaxBlocks = 128, kAssignmentsPerBlock = 512;
  return std::min(kMaxBlocks, (assignments + kAssignmentsPerBlock - 1) / kAssignmentsPerBlock);
}

size_t group_by_expert_bytes(ConstView expert_of, View, View, View, View total) {
  return static_cast<size_t>(group_by_expert_blocks(expert_of.elements()) * total.elements()) * sizeof(int32_t);
}

}  // namespace switchyard::cuda
