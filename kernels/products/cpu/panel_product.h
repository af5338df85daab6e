// Internal to kernels/: x Wᵀ through oneDNN, in fixed tiles, one thread.
//
// A matrix W [n, k] is cut into panels of kPanelColumns outputs. A panel's product takes rows in tiles of a few fixed
// sizes; rows missing in the last tile are zero. That alone does not make a row's bits independent of its neighbours:
// oneDNN may treat the last rows of a tile by another kernel (its AVX2 kernel takes six rows at once and adds up the
// rest in another order). So each product tests itself when it is made: equal rows must give equal bits at every place
// of every tile size, and the first set of sizes that passes is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <dnnl.hpp>
#include <optional>
#include <span>
#include <vector>

#include "kernels/products/cpu/pack_panel.h"

namespace switchyard {

inline constexpr int64_t kPanelColumns = 512;
inline constexpr int64_t kMaxTileRows = 256;
inline constexpr int64_t kMaxPaddingRows = 48;  ///< room behind the last row that run() may write

class PanelProduct {
 public:
  /// The product of n outputs and k inputs, made at its first use and kept. Thread-safe.
  static const PanelProduct& of(int64_t n, int64_t k, DType operand);

  PanelProduct(int64_t n, int64_t k, DType operand);

  /// Of a packed panel, as stored.
  size_t panel_bytes() const { return panel_bytes_; }
  /// The parts together are the panel's n outputs. What pads the panel is not written: it is zero beforehand.
  void pack(std::span<const PanelPart> parts, std::byte* panel) const;
  /// The same through oneDNN, several times slower: what pack() does where it does not know the layout, and is held to.
  /// w: [n, k] f32, row-major
  void reorder(const float* w, std::byte* panel) const;
  /// What pack() has written, as f32: some of the panel's outputs.
  void unpack(const std::byte* panel, std::span<const PanelRows> parts) const;
  bool has_known_layout() const { return layout_.has_value(); }
  const PanelLayout& layout() const { return *layout_; }  ///< a known one

  /// bf16 without native products: panels are stored as bf16 in the order of the f32 product, and widened before use.
  bool emulated() const { return emulated_; }
  size_t widened_bytes() const { return emulated_ ? 2 * panel_bytes() : 0; }
  /// The panel as run() takes it: itself, or its f32 values written to `widened`.
  const std::byte* prepare(const std::byte* panel, std::byte* widened) const;

  size_t workspace_bytes() const { return workspace_bytes_; }
  /// out [rows, n] = x panelᵀ.   x: [rows, k] of the operand's type; out: room for rows + kMaxPaddingRows
  void run(const std::byte* x, int64_t rows, const std::byte* prepared, float* out, std::byte* workspace) const;

 private:
  struct Tile {
    int64_t rows;
    uint64_t id;  ///< of no other tile of this process
    dnnl::matmul::primitive_desc desc;
    dnnl::matmul primitive;
  };

  void make_tiles(const std::vector<int64_t>& sizes);
  bool row_agrees(uint64_t seed) const;
  void find_layout();
  void reorder_for_product(const float* w, std::byte* panel) const;
  const Tile& tile_for(int64_t rows) const;
  size_t staging_bytes() const;
  const std::byte* stage(const std::byte* x, int64_t rows, int64_t tile_rows, std::byte* staging) const;
  void execute(const Tile& tile, const std::byte* x, const std::byte* prepared, float* out,
               std::byte* scratchpad) const;

  int64_t n_, k_;
  DType operand_, product_type_;
  bool emulated_;
  std::vector<Tile> tiles_;                       // largest first; all take one weights layout
  size_t panel_bytes_ = 0, workspace_bytes_ = 0;  // every task asks
  std::optional<PanelLayout> layout_;             // none: one that only oneDNN knows
};

}  // namespace switchyard
