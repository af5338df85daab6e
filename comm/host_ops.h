// What the communicators have in common: copying and reducing in host memory, and the arithmetic of an all-to-all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "comm/communicator.h"

namespace switchyard {

/// to = from, which must have as many bytes.
void copy_bytes(ConstView from, View to);

/// out[i] = parts[0][i] op parts[1][i] op …, taken in that order. parts: one pointer a rank, to elements of out's
/// dtype.
void reduce_in_order(std::span<const std::byte* const> parts, ReduceOp op, View out);

/// For operations that take host memory only.
void check_on_host(ConstView view);

/// Where the rows of an all-to-all of `size` ranks lie.
struct AllToAllRows {
  int64_t row_bytes = 0;
  std::vector<int64_t> from;  ///< [size + 1] rows [from[r], from[r + 1]) of `send` go to rank r
  std::vector<int64_t> to;    ///< [size + 1] rows [to[r], to[r + 1]) of `recv` come from rank r
};
/// Checks that the counts fit the views, and the views each other.
AllToAllRows all_to_all_rows(int size, ConstView send, std::span<const int64_t> send_rows, ConstView recv,
                             std::span<const int64_t> recv_rows);

}  // namespace switchyard
