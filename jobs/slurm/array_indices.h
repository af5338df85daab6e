// The indices of a job array, as sbatch's --array names them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace switchyard {

/// The largest MaxArraySize that Slurm can be given.
inline constexpr int64_t kLargestArraySize = 4'000'001;

/// Of "0-9", "1,5,7" or "0-99:3%4": in order, each once. Fails (usage) on anything else, and on an index that is not
/// below `max_array_size`.
std::vector<int64_t> array_indices(const std::string& array, int64_t max_array_size);

}  // namespace switchyard
