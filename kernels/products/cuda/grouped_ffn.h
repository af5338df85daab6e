// Internal to kernels/ and its tests: the grouped FFN with tiles of a given size, and what it needs beside its tensors.
#pragma once

#include "kernels/products/cuda/matrix.h"
#include "kernels/products/cuda/tile_table.h"
#include "kernels/products/grouped_ffn.h"

namespace switchyard::cuda {

/// In the stream's workspace: the table of tiles, then the activations [entries, f rounded up].
struct FfnWorkspace {
  size_t num_tiles, activations, bytes;

  FfnWorkspace(int64_t entries, int64_t f, DType operand, int64_t groups, int32_t tile_rows)
      : num_tiles(static_cast<size_t>(max_tiles(entries, groups, tile_rows))),
        activations((num_tiles * sizeof(Tile) + 255) / 256 * 256),
        bytes(activations + static_cast<size_t>(entries * rounded_up(f, Matrix::kColumnMultiple)) * size_of(operand)) {}
};

/// How many entries there are, at most: the host does not know the last offset.
inline int64_t num_entries(const GroupedRows& rows, ConstView x) {
  if (rows.input_row.empty()) return rows.output_row.empty() ? x.rows() : std::ssize(rows.output_row);
  return std::ssize(rows.input_row);
}

/// tile_rows: one of tile_shapes(x.dtype, layout, d). The bits are the same for all.
void grouped_ffn_in_tiles(const Stream& stream, ConstView x, const GroupedRows& rows,
                          std::span<const FfnWeights> weights, const GatedActivation& activation, GemmOutput output,
                          View y, int32_t tile_rows);

}  // namespace switchyard::cuda
