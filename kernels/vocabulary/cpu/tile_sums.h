// Internal to kernels/: what is kept of the logits of a row while its vocabulary is gone through, tile by tile.
#pragma once

#include <cstdint>

#include "kernels/products/cpu/panel_product.h"

namespace switchyard {

inline constexpr int64_t kTilePanels = 4;  // a tile of the vocabulary: 2048 tokens
inline constexpr int64_t kTileColumns = kTilePanels * kPanelColumns;

inline int64_t num_vocabulary_tiles(int64_t vocab) {
  return (vocab + kTileColumns - 1) / kTileColumns;
}

/// Of one tile: Σ e^(logit − max), and where the maximum is.
struct TileSum {
  float max, sum, target_logit;
  int32_t argmax;
};
static_assert(sizeof(TileSum) == 4 * sizeof(float));

}  // namespace switchyard
