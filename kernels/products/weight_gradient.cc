#include "kernels/products/weight_gradient.h"

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

#include "kernels/cpu/past_caches.h"
#include "kernels/cpu/scratch_layouts.h"
#include "kernels/cpu_isa.h"
#include "kernels/products/cpu/outer_panels.h"
#include "kernels/products/cpu/outer_products.h"
#include "kernels/row_blocks.h"

namespace switchyard {
namespace {

int64_t divide_up(int64_t n, int64_t by) {
  return (n + by - 1) / by;
}

}  // namespace

WeightGradientScratch::WeightGradientScratch(int64_t rows, int64_t n, int64_t k, const SliceRange& slices) {
  const int64_t down = std::min(kTilesDown, divide_up(n, kOuterRows));
  const int64_t across = std::min(kTilesAcross, divide_up(k, kOuterColumns));
  const auto floats = [&](int64_t count) { return layout.add(static_cast<size_t>(count) * sizeof(float)); };
  a = floats(down * std::min(rows, kRows) * kOuterRows);
  b = floats(across * std::min(rows, kRows) * kOuterColumns);
  stack = floats((rows > kRows ? down * across : 1) * stack_depth(slices) * kOuterTile);
  strip = floats(across * kOuterTile);
}

namespace {

// A block of a group's result.
struct Block {
  int64_t first_row, first_column, rows, columns;
};

// The blocks that each group's result is cut into: tasks. Bits do not depend on them.
class Blocks {
 public:
  // As large as scratch has room for, but so many that threads have some each.
  Blocks(int64_t n, int64_t k, int64_t groups, int64_t threads) : n_(n), k_(k) {
    cut(WeightGradientScratch::kTilesDown, WeightGradientScratch::kTilesAcross);
    constexpr int64_t kTasksPerThread = 4;
    while (groups * count() < kTasksPerThread * threads && (tiles_down_ > 4 || tiles_across_ > 2)) {
      if (tiles_down_ * kOuterRows > tiles_across_ * kOuterColumns)
        cut(divide_up(tiles_down_, 2), tiles_across_);
      else
        cut(tiles_down_, divide_up(tiles_across_, 2));
    }
  }
  int64_t count() const { return down_ * across_; }
  Block operator[](int64_t index) const {
    const int64_t row = index % down_ * tiles_down_ * kOuterRows;
    const int64_t column = index / down_ * tiles_across_ * kOuterColumns;
    return {row, column, std::min(n_ - row, tiles_down_ * kOuterRows),
            std::min(k_ - column, tiles_across_ * kOuterColumns)};
  }

 private:
  // Into blocks of so many tiles at most, of about one size.
  void cut(int64_t most_down, int64_t most_across) {
    const int64_t rows = divide_up(n_, kOuterRows), columns = divide_up(k_, kOuterColumns);
    down_ = divide_up(rows, most_down);
    across_ = divide_up(columns, most_across);
    tiles_down_ = divide_up(rows, down_);
    tiles_across_ = divide_up(columns, across_);
  }

  int64_t n_, k_;
  int64_t tiles_down_, tiles_across_;  // of a block
  int64_t down_, across_;              // blocks
};

// Rows of a group that are packed at once, for a block of its result.
struct Piece {
  int64_t group;
  Block block;
  int64_t first, count;  // of packed rows
};

// What is packed: rows of a type, or pairs of bf16 rows. Source: where the columns lie that make a packed row.
template <class T>
struct Alone {
  using Stored = T;
  using Source = const T*;
};
struct InPairs {
  using Stored = BFloat16;
  using Source = RowPair;
};

// Of a piece's packed rows.
template <class Packed>
struct PieceSources {
  std::array<typename Packed::Source, WeightGradientScratch::kRows> dy, x;
};

// Packed rows: where bf16 products run natively, pairs of a slice's rows; the last one may be alone.
struct Packing {
  OuterElement element;
  std::vector<int64_t> offsets;  // as those of the rows

  Packing(DType operand, const SlicedRows& rows)
      : element(operand == DType::bf16 && has_native_bf16() ? OuterElement::bf16_pair : OuterElement::f32) {
    offsets.push_back(0);
    for (size_t i = 0; i + 1 < rows.offsets.size(); ++i)
      offsets.push_back(offsets.back() + divide_up(rows.offsets[i + 1] - rows.offsets[i], together()));
  }
  int64_t together() const { return element == OuterElement::bf16_pair ? 2 : 1; }
};

bool is_list(const View& out) {
  return out.shape.rank() == 1;
}
/// Whether it has room for just what is wanted of so many elements.
bool is_list_of(const ElementBits& wanted, int64_t elements, const View& out) {
  return wanted.counts != nullptr && out.elements() == wanted.before(elements) - wanted.before(0);
}

struct Gradient {
  const ListedRows &dy, &x;
  const SlicedRows& rows;
  const Packing& packing;
  const SlicedRows packed;
  const Blocks& blocks;
  std::span<const ElementBits> wanted;
  std::span<const View> out;
  size_t num_nodes;
  WeightGradientScratch scratch;
  bool past_caches;

  int64_t n() const { return dy.of.row_elements(); }
  int64_t k() const { return x.of.row_elements(); }

  template <class Packed>
  void sum_block(int64_t task) const {
    const int64_t group = task / blocks.count();
    const auto offsets = packed.of_group(group);
    const auto views = out.subspan(static_cast<size_t>(group) * num_nodes, num_nodes);
    if (offsets.front() == offsets.back() || views.front().data == nullptr) return;
    const std::vector<ChainStep> steps = chain_steps(rows.slices, offsets, rows.squared);
    std::byte* memory = thread_scratch(scratch.layout.bytes());
    const auto floats_at = [&](size_t offset) { return reinterpret_cast<float*>(memory + offset); };
    std::vector<float*> nodes;
    for (const View& view : views) nodes.push_back(is_list(view) ? floats_at(scratch.strip) : view.as<float>());
    const PackedTiles tiles{floats_at(scratch.a), floats_at(scratch.b), nodes, floats_at(scratch.stack),
                            is_list(views.front()) ? views.front().as<float>() : nullptr};

    std::array<PieceSources<Packed>, 2> sources;  // of the piece that is summed, and of the next one
    size_t now = 0;
    Piece piece = piece_of(task, offsets.front());
    const bool is_all = piece.count == offsets.back() - offsets.front();
    find_sources(piece, sources[now]);
    while (piece.count > 0) {
      pack_outer_panels<kOuterRows>(sources[now].dy.data(), piece.count, piece.block.rows, tiles.a);
      pack_outer_panels<kOuterColumns>(sources[now].x.data(), piece.count, piece.block.columns, tiles.b);
      const int64_t end = piece.first + piece.count, before = piece.first - offsets.front();
      const Piece rest = piece_of(task, end), next = rest.count > 0 ? rest : first_piece(task + 1);
      find_sources(next, sources[1 - now]);
      sum_tiles(piece, tiles, steps_between(steps, before, before + piece.count), is_all, next, sources[1 - now]);
      piece = rest;
      now = 1 - now;
    }
    _mm_sfence();  // what was written past the caches is there before the task ends
  }

 private:
  static constexpr BFloat16 kZeros[std::max(WeightGradientScratch::kTilesDown * kOuterRows,
                                            WeightGradientScratch::kTilesAcross* kOuterColumns)] = {};

  struct PackedTiles {
    float *a, *b;
    std::span<float* const> nodes;
    float* stack;  ///< of the first tile, and of each behind it if each has its own
    float* list;   ///< of what is wanted, or null; the only node is a strip then, as wide as the block
  };

  /// A task's rows from `first` on, as many as are packed at once; none where none are left.
  Piece piece_of(int64_t task, int64_t first) const {
    const int64_t group = task / blocks.count();
    const auto offsets = packed.of_group(group);
    const int64_t all = offsets.back() - offsets.front();
    const int64_t pieces = std::max<int64_t>(divide_up(all, WeightGradientScratch::kRows), 1);
    return {group, blocks[task % blocks.count()], first, std::min(divide_up(all, pieces), offsets.back() - first)};
  }
  Piece first_piece(int64_t task) const {
    if (task >= packed.num_groups() * blocks.count()) return {};
    return piece_of(task, packed.of_group(task / blocks.count()).front());
  }

  template <class Packed>
  void find_sources(const Piece& piece, PieceSources<Packed>& to) const {
    if (piece.count == 0) return;
    const auto packed_from = packed.of_group(piece.group), from = rows.of_group(piece.group);
    auto slice = static_cast<size_t>(std::ranges::upper_bound(packed_from, piece.first) - packed_from.begin()) - 1;
    const int64_t dy_stride = n(), x_stride = k();
    const auto* dy_columns = dy.of.as<typename Packed::Stored>() + piece.block.first_row;
    const auto* x_columns = x.of.as<typename Packed::Stored>() + piece.block.first_column;
    for (int64_t i = 0; i < piece.count; ++i) {
      while (piece.first + i >= packed_from[slice + 1]) ++slice;
      const int64_t row = from[slice] + (piece.first + i - packed_from[slice]) * packing.together();
      auto &of_dy = to.dy[static_cast<size_t>(i)], &of_x = to.x[static_cast<size_t>(i)];
      if constexpr (std::is_same_v<Packed, InPairs>) {
        const bool is_pair = row + 1 < from[slice + 1];
        of_dy = {dy_columns + dy[row] * dy_stride, is_pair ? dy_columns + dy[row + 1] * dy_stride : kZeros};
        of_x = {x_columns + x[row] * x_stride, is_pair ? x_columns + x[row + 1] * x_stride : kZeros};
      } else {
        of_dy = dy_columns + dy[row] * dy_stride;
        of_x = x_columns + x[row] * x_stride;
      }
    }
  }

  /// Whether any of a tile is.
  bool is_wanted(int64_t group, int64_t row, int64_t column) const {
    if (wanted.empty()) return true;
    const int64_t columns = std::min(kOuterColumns, k() - column);
    for (int64_t r = row; r < std::min(row + kOuterRows, n()); ++r)
      if (wanted[static_cast<size_t>(group)].has_any(r * k() + column, columns)) return true;
    return false;
  }

  /// next: what this thread packs next, if nobody else does; it is fetched while there is only computing to do.
  template <class Packed>
  void sum_tiles(const Piece& piece, const PackedTiles& tiles, std::span<const ChainStep> steps, bool is_all,
                 const Piece& next, const PieceSources<Packed>& next_sources) const {
    const Block& block = piece.block;
    const int64_t num_tiles = divide_up(block.rows, kOuterRows) * divide_up(block.columns, kOuterColumns);
    const int64_t next_stack = is_all ? 0 : stack_depth(rows.slices) * kOuterTile;
    const int64_t stride = tiles.list == nullptr ? k() : divide_up(block.columns, kOuterColumns) * kOuterColumns;
    const bool ends = piece.first + piece.count == packed.of_group(piece.group).back();
    int64_t tile = 0;
    for (int64_t i = 0; i < block.rows; i += kOuterRows) {
      for (int64_t j = 0; j < block.columns; j += kOuterColumns, ++tile) {
        for (int64_t r = tile * next.count / num_tiles; r < (tile + 1) * next.count / num_tiles; ++r) {
          prefetch<Wanted::later>(next_sources.dy[static_cast<size_t>(r)], next.block.rows);
          prefetch<Wanted::later>(next_sources.x[static_cast<size_t>(r)], next.block.columns);
        }
        if (!is_wanted(piece.group, block.first_row + i, block.first_column + j)) continue;
        sum_outer_products(
            {.a = tiles.a + i * piece.count,
             .b = tiles.b + j * piece.count,
             .steps = steps,
             .stack = tiles.stack + tile * next_stack,
             .nodes = tiles.nodes.data(),
             .offset = tiles.list == nullptr ? (block.first_row + i) * stride + block.first_column + j : j,
             .stride = stride,
             .rows = std::min(kOuterRows, block.rows - i),
             .columns = std::min(kOuterColumns, block.columns - j),
             .past_caches = past_caches && tiles.list == nullptr},
            packing.element);
      }
      if (ends && tiles.list != nullptr) take_wanted(piece, i, tiles.nodes.front(), stride, tiles.list);
    }
  }

  /// What is wanted of a strip: the block's rows from `first` on, as many as a tile has.
  void take_wanted(const Piece& piece, int64_t first, const float* strip, int64_t stride, float* list) const {
    const Block& block = piece.block;
    const ElementBits& bits = wanted[static_cast<size_t>(piece.group)];
    for (int64_t i = first; i < std::min(first + kOuterRows, block.rows); ++i, strip += stride) {
      const int64_t element = (block.first_row + i) * k() + block.first_column;
      cpu::gather_members(bits.words, bits.first + element, strip, block.columns,
                          list + (bits.before(element) - bits.before(0)));
    }
  }
};

}  // namespace

namespace cpu {

size_t weight_gradient_bytes(ListedRows dy, ListedRows x, const SlicedRows& rows, std::span<const ElementBits>,
                             std::span<const View>) {
  return WeightGradientScratch(dy.count(), dy.of.row_elements(), x.of.row_elements(), rows.slices).layout.bytes();
}

// A task is a block of a group's result: its operands are packed for all of the block's tiles, then each tile is summed
// over the rows. Where a group has more rows than are packed at once, tiles go on with the next ones.
void weight_gradient(const Stream& stream, ListedRows dy, ListedRows x, const SlicedRows& rows,
                     std::span<const ElementBits> wanted, std::span<const View> out) {
  const int64_t n = dy.of.row_elements(), k = x.of.row_elements(), num_groups = rows.num_groups();
  const size_t num_nodes = tree_nodes(rows.slices).size();
  SWITCHYARD_CHECK(dy.of.dtype == x.of.dtype && dy.count() == rows.num_rows() && x.count() == rows.num_rows() &&
                       dy.exist() && x.exist() && out.size() == static_cast<size_t>(num_groups) * num_nodes &&
                       (wanted.empty() || std::ssize(wanted) == num_groups),
                   "weight_gradient: {} rows of dy {} {}, {} of x {} {}, {} in {} groups of {} nodes, {} results",
                   dy.count(), name_of(dy.of.dtype), dy.of.shape.str(), x.count(), name_of(x.of.dtype),
                   x.of.shape.str(), rows.num_rows(), num_groups, num_nodes, out.size());
  int64_t num_with_rows = 0;
  size_t bytes = 0;
  for (int64_t group = 0; group < num_groups; ++group) {
    const auto offsets = rows.of_group(group);
    const auto nodes = out.subspan(static_cast<size_t>(group) * num_nodes, num_nodes);
    if (offsets.front() == offsets.back()) {
      for (const View& view : nodes)
        if (view.data != nullptr) std::ranges::fill(view.span<float>(), 0.0f);
      continue;
    }
    if (nodes.front().data == nullptr) continue;
    ++num_with_rows;
    for (const View& view : nodes) {
      SWITCHYARD_CHECK(is_list(view) ? num_nodes == 1 && !wanted.empty() &&
                                           is_list_of(wanted[static_cast<size_t>(group)], n * k, view)
                                     : view.rows() == n && view.row_elements() == k,
                       "weight_gradient: a result {} of [{}, {}], {} nodes", view.shape.str(), n, k, num_nodes);
      bytes += view.bytes();
    }
  }
  if (num_with_rows == 0) return;
  const Blocks blocks(n, k, num_with_rows, stream.pool->num_threads());
  const WeightGradientScratch scratch(rows.num_rows(), n, k, rows.slices);
  const Packing packing(dy.of.dtype, rows);
  const Gradient gradient{dy,
                          x,
                          rows,
                          packing,
                          {rows.slices, packing.offsets},
                          blocks,
                          wanted,
                          out,
                          num_nodes,
                          scratch,
                          bytes > kCachedBytes};
  const auto sum_blocks = [&](auto packed) {
    stream.parallel_for(num_groups * blocks.count(),
                        [&](int64_t task, int) { gradient.sum_block<decltype(packed)>(task); });
  };
  if (packing.element == OuterElement::bf16_pair) return sum_blocks(InPairs{});
  with_float_type(dy.of.dtype, "weight_gradient", [&](auto type) { sum_blocks(Alone<decltype(type)>{}); });
}

}  // namespace cpu
}  // namespace switchyard
