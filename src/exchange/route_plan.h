// Who needs which of this rank's tokens: a pure function of the chosen experts.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/device.h"
#include "exchange/placement.h"
#include "kernels/products/grouped_ffn.h"

namespace switchyard {

/// GroupedRows that own their lists.
struct OwnedGroupedRows {
  std::vector<int64_t> offsets;  ///< [groups + 1]
  std::vector<int32_t> input_row, output_row;

  /// As ops of the stream take it: itself on the CPU, otherwise a copy in the arena.
  GroupedRows for_ops(const Stream& stream, Arena& arena) const;
  static size_t device_bytes(int64_t num_groups, int64_t num_entries, Device device);
};

struct RoutePlan {
  std::vector<int64_t> offsets;  ///< [ranks + 1]: rank r is sent tokens[offsets[r] … offsets[r+1])
  std::vector<int32_t> tokens;   ///< ascending for each rank, each token once for each; none for this rank
  OwnedGroupedRows local;  ///< what this rank's own experts do, a group each by local index: row t to row t·k + j,
                           ///< in ascending t
  std::vector<int64_t> tokens_per_expert;  ///< [experts] (token, slot) assignments

  int64_t rows_to(int rank) const {
    const auto r = static_cast<size_t>(rank);
    return offsets[r + 1] - offsets[r];
  }
  /// At most `count` of the tokens sent to `rank`, from the first-th.
  std::span<const int32_t> tokens_to(int rank, int64_t first, int64_t count) const;
};

/// expert_of: [tokens, k] i32, the experts of a token distinct; tokens · k < 2^31.
RoutePlan plan_routes(ConstView expert_of, const ExpertPlacement& placement, int rank);

/// Bytes of the plan of `num_tokens` tokens, in the worst case, and of what making it takes, on a rank that hosts
/// `num_local` experts; never fewer for more of these.
size_t route_plan_bytes(int64_t num_tokens, int top_k, const ExpertPlacement& placement, int num_local);

}  // namespace switchyard
