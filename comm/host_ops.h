// What the communicators have in common: copying and reducing in host memory.
#pragma once

#include <cstddef>
#include <span>

#include "comm/communicator.h"

namespace switchyard {

/// to = from, which must have as many bytes.
void copy_bytes(ConstView from, View to);

/// out[i] = parts[0][i] op parts[1][i] op …, taken in that order. parts: one pointer a rank, to elements of out's
/// dtype.
void reduce_in_order(std::span<const std::byte* const> parts, ReduceOp op, View out);

}  // namespace switchyard
