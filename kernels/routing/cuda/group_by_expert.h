// How group_by_expert divides its work on a CUDA device. Plain C++: memory is planned in every build.
#pragma once

#include <cstdint>

namespace switchyard::cuda {

/// How many blocks share the assignments. Up to about a block for each multiprocessor of a big GPU: what is kept for
/// every block and expert, a count in the stream's workspace, stays small.
int64_t group_by_expert_blocks(int64_t assignments);

}  // namespace switchyard::cuda
