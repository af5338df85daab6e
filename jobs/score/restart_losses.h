// What a run's attempts computed in vain, from what they noted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

namespace switchyard {

struct RestartLosses {
  int64_t records = 0;  ///< computed and dropped, lost with a killed attempt, or computed again
  int64_t chunks = 0;   ///< of which those were
};

/// Of the lines of a metrics.jsonl, as far as they go: one that is torn is passed over, and what an attempt did in the
/// seconds before it was killed is not in them. kept_records(chunk): of its shard; 0: there is none.
RestartLosses restart_losses(const std::filesystem::path& metrics,
                             const std::function<int64_t(int64_t chunk)>& kept_records,
                             const std::function<void()>& poll = {});

}  // namespace switchyard
