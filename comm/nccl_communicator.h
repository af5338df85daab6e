// Rows of a device's memory from GPU to GPU. A build without CUDA has the declarations only (no_nccl.cc).
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "comm/communicator.h"

namespace switchyard {

/// Takes over `host`, whose all-to-all of a device's memory from now on goes through an NCCL communicator of the same
/// ranks; everything else stays with `host`. Collective, like its destruction. Each rank has a device of its own, for
/// this communicator and its splits; NCCL's refusal of anything else, or a rank that does not come within `timeout`, is
/// an Error (environment, timeout).
///
/// Transfers have a stream of their own and need no computing to stop; starting and polling never wait. Waiting polls
/// the stream's poll() too, so that MPI moves meanwhile, and ends with an Error when NCCL reports one. A transfer that
/// is let go of while an Error unwinds its rank is aborted, and with it the communicator.
std::unique_ptr<Communicator> add_nccl(std::unique_ptr<Communicator> host, int device_index,
                                       std::chrono::milliseconds timeout = std::chrono::minutes(5));

/// "2.28.9"; empty in a build without NCCL.
std::string nccl_library_version();

}  // namespace switchyard
