// Tiles of rows, where rows belong to groups (the experts' entries, records) whose sizes only the device knows: the
// host starts a block for every tile there may be, and a table on the device says which rows each one has.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/stream.h"

namespace switchyard::cuda {

/// Rows [first, first + rows) of all, which are of one group. Group −1: nothing to do.
struct Tile {
  int64_t first;
  int32_t group;
  int32_t rows;
};

/// Tiles of at most `tile_rows` rows that any `groups` groups of together `rows` rows may need.
constexpr int64_t max_tiles(int64_t rows, int64_t groups, int64_t tile_rows) {
  return rows / tile_rows + std::min(groups, rows);
}

/// table: the tiles in order, then tiles of no group. offsets: [groups + 1], ascending; table: at least
/// max_tiles(…) elements. Both in the device's memory.
void make_tile_table(const Stream& stream, std::span<const int64_t> offsets, int32_t tile_rows, std::span<Tile> table);

}  // namespace switchyard::cuda
