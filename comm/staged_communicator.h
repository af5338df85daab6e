// Rows of a device's memory through host memory: for ranks that share a GPU, which NCCL refuses, and for ranks that are
// threads. Slow, and the same bits.
#pragma once

#include <memory>

#include "comm/communicator.h"

namespace switchyard {

/// Takes over `inner`. Its all-to-all of a device's memory copies the rows to pinned host memory, waits for that copy
/// (and so for the work given to the stream before), has `inner` carry them, and copies what arrives to the device, in
/// the stream's order. Its splits do the same. Pinned memory is kept between transfers: as much as the largest
/// transfers under way at one time, sent and received rows each.
std::unique_ptr<Communicator> stage_through_host(std::unique_ptr<Communicator> inner);

}  // namespace switchyard
