#include "kernels/products/weight_gradient.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "kernels/cpu/scratch_layouts.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/products/cpu/outer_products.h"
#include "kernels/row_blocks.h"

namespace switchyard {
namespace {

// Of results, all together: more would not be in the caches when somebody reads them.
constexpr size_t kCachedBytes = size_t{8} << 20;

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
    const int64_t row = index / across_ * tiles_down_ * kOuterRows;
    const int64_t column = index % across_ * tiles_across_ * kOuterColumns;
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

// Into the nearest cache, or, for what is not wanted at once, into the next one.
enum class Wanted : uint8_t { soon, later };
template <Wanted kWanted, class T>
void prefetch(const T* columns, int64_t count) {
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t i = 0; i < count; i += kLine) __builtin_prefetch(columns + i, 0, kWanted == Wanted::soon ? 3 : 2);
}

template <int64_t Width, class T>
void copy_widened(const T* from, float* to) {
  for (int64_t i = 0; i + kLanes <= Width; i += kLanes) store(to + i, load(from + i));
  if constexpr (Width % kLanes != 0) store(to + Width - kLanes, load(from + Width - kLanes));
}

// Columns of a matrix in panels of Width, widened: to [panels, rows, Width]; the last one is filled up with zeros.
// row(r): where a row's columns begin.
template <int64_t Width, class Row>
void pack_panels(const Row& row, int64_t rows, int64_t columns, float* to) {
  constexpr int64_t kRowsAtOnce = 8;  // whose lines stay in the nearest cache; the next ones are on their way
  for (int64_t first = 0; first < rows; first += kRowsAtOnce) {
    const int64_t end = std::min(rows, first + kRowsAtOnce);
    for (int64_t r = end; r < std::min(rows, end + kRowsAtOnce); ++r) prefetch<Wanted::soon>(row(r), columns);
    for (int64_t column = 0; column < columns; column += Width)
      for (int64_t r = first; r < end; ++r) {
        const auto* source = row(r) + column;
        float* target = to + column * rows + r * Width;
        const int64_t rest = columns - column;
        if (rest >= Width) {
          copy_widened<Width>(source, target);
        } else {
          for (int64_t i = 0; i < Width; i += kLanes)
            store_part(target + i, load_part(source + i, std::clamp(rest - i, int64_t{0}, kLanes)),
                       std::min(kLanes, Width - i));
        }
      }
  }
}

// Rows of a block's operands that are packed at once.
struct Piece {
  Block block;
  int64_t first, count;
};

struct Gradient {
  const ListedRows &dy, &x;
  const SlicedRows& rows;
  const Blocks& blocks;
  std::span<const View> out;
  size_t num_nodes;
  WeightGradientScratch scratch;
  bool past_caches;

  int64_t n() const { return dy.of.row_elements(); }
  int64_t k() const { return x.of.row_elements(); }

  /// A task's first piece, or the one that begins with row `first`; none: no rows are left.
  Piece piece_of(int64_t task, std::optional<int64_t> first = {}) const {
    const auto offsets = rows.of_group(task / blocks.count());
    const int64_t num_rows = offsets.back() - offsets.front();
    const int64_t most = divide_up(num_rows, std::max<int64_t>(divide_up(num_rows, WeightGradientScratch::kRows), 1));
    const int64_t begin = first.value_or(offsets.front());
    return {blocks[task % blocks.count()], begin, std::min(most, offsets.back() - begin)};
  }

  template <class T>
  void sum_block(int64_t task) const {
    const auto offsets = rows.of_group(task / blocks.count());
    if (offsets.front() == offsets.back()) return;
    const std::vector<ChainStep> steps = chain_steps(rows.slices, offsets);
    std::vector<float*> nodes;
    for (const View& view : out.subspan(static_cast<size_t>(task / blocks.count()) * num_nodes, num_nodes))
      nodes.push_back(view.as<float>());
    std::byte* memory = thread_scratch(scratch.layout.bytes());
    const auto floats_at = [&](size_t offset) { return reinterpret_cast<float*>(memory + offset); };
    const PackedTiles tiles{floats_at(scratch.a), floats_at(scratch.b), nodes, floats_at(scratch.stack)};

    Piece piece = piece_of(task);
    const bool is_all = piece.count == offsets.back() - offsets.front();
    while (piece.count > 0) {
      pack_panels<kOuterRows>(columns_of<T>(dy, piece.first, piece.block.first_row), piece.count, piece.block.rows,
                              tiles.a);
      pack_panels<kOuterColumns>(columns_of<T>(x, piece.first, piece.block.first_column), piece.count,
                                 piece.block.columns, tiles.b);
      const int64_t end = piece.first + piece.count, before = piece.first - offsets.front();
      Piece next = piece_of(task, end);
      if (next.count == 0 && task + 1 < rows.num_groups() * blocks.count()) next = piece_of(task + 1);
      sum_tiles<T>(piece, tiles, steps_between(steps, before, before + piece.count), is_all, next);
      piece = piece_of(task, end);
    }
    _mm_sfence();  // what was written past the caches is there before the task ends
  }

 private:
  struct PackedTiles {
    float *a, *b;
    std::span<float* const> nodes;
    float* stack;  ///< of the first tile, and of each behind it if each has its own
  };

  template <class T>
  static auto columns_of(const ListedRows& listed, int64_t first, int64_t column) {
    return [&listed, first, values = listed.of.as<T>() + column, stride = listed.of.row_elements()](int64_t r) {
      return values + listed[first + r] * stride;
    };
  }

  /// next: what this thread packs next, if nobody else does; it is fetched while there is only computing to do.
  template <class T>
  void sum_tiles(const Piece& piece, const PackedTiles& packed, std::span<const ChainStep> steps, bool is_all,
                 const Piece& next) const {
    const Block& block = piece.block;
    const int64_t num_tiles = divide_up(block.rows, kOuterRows) * divide_up(block.columns, kOuterColumns);
    const int64_t next_stack = is_all ? 0 : stack_depth(rows.slices) * kOuterTile;
    int64_t tile = 0;
    for (int64_t i = 0; i < block.rows; i += kOuterRows)
      for (int64_t j = 0; j < block.columns; j += kOuterColumns, ++tile) {
        for (int64_t r = tile * next.count / num_tiles; r < (tile + 1) * next.count / num_tiles; ++r) {
          prefetch<Wanted::later>(columns_of<T>(dy, next.first, next.block.first_row)(r), next.block.rows);
          prefetch<Wanted::later>(columns_of<T>(x, next.first, next.block.first_column)(r), next.block.columns);
        }
        sum_outer_products({.a = packed.a + i * piece.count,
                            .b = packed.b + j * piece.count,
                            .steps = steps,
                            .stack = packed.stack + tile * next_stack,
                            .nodes = packed.nodes.data(),
                            .offset = (block.first_row + i) * k() + block.first_column + j,
                            .stride = k(),
                            .rows = std::min(kOuterRows, block.rows - i),
                            .columns = std::min(kOuterColumns, block.columns - j),
                            .past_caches = past_caches});
      }
  }
};

}  // namespace

namespace cpu {

size_t weight_gradient_bytes(ListedRows dy, ListedRows x, const SlicedRows& rows, std::span<const View>) {
  return WeightGradientScratch(dy.count(), dy.of.row_elements(), x.of.row_elements(), rows.slices).layout.bytes();
}

// A task is a block of a group's result: its operands are packed for all of the block's tiles, then each tile is summed
// over the rows. Where a group has more rows than are packed at once, tiles go on with the next ones.
void weight_gradient(const Stream& stream, ListedRows dy, ListedRows x, const SlicedRows& rows,
                     std::span<const View> out) {
  const int64_t n = dy.of.row_elements(), k = x.of.row_elements(), num_groups = rows.num_groups();
  const size_t num_nodes = tree_nodes(rows.slices).size();
  SWITCHYARD_CHECK(dy.of.dtype == x.of.dtype && dy.count() == rows.num_rows() && x.count() == rows.num_rows() &&
                       dy.exist() && x.exist() && out.size() == static_cast<size_t>(num_groups) * num_nodes,
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
    ++num_with_rows;
    for (const View& view : nodes) {
      SWITCHYARD_CHECK(view.rows() == n && view.row_elements() == k, "weight_gradient: a result {} of [{}, {}]",
                       view.shape.str(), n, k);
      bytes += view.bytes();
    }
  }
  if (num_with_rows == 0) return;
  const Blocks blocks(n, k, num_with_rows, stream.pool->num_threads());
  const WeightGradientScratch scratch(rows.num_rows(), n, k, rows.slices);
  const Gradient gradient{dy, x, rows, blocks, out, num_nodes, scratch, bytes > kCachedBytes};
  with_float_type(dy.of.dtype, "weight_gradient", [&](auto type) {
    stream.parallel_for(num_groups * blocks.count(),
                        [&](int64_t task, int) { gradient.sum_block<decltype(type)>(task); });
  });
}

}  // namespace cpu
}  // namespace switchyard
