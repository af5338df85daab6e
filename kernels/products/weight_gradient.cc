#include "kernels/products/weight_gradient.h"

#include <algorithm>
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
  constexpr int64_t kLine = 64 / sizeof(*row(0));
  for (int64_t first = 0; first < rows; first += kRowsAtOnce) {
    const int64_t end = std::min(rows, first + kRowsAtOnce);
    for (int64_t r = end; r < std::min(rows, end + kRowsAtOnce); ++r)
      for (int64_t column = 0; column < columns; column += kLine) __builtin_prefetch(row(r) + column);
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

struct Gradient {
  const ListedRows &dy, &x;
  const SlicedRows& rows;
  std::span<const View> out;
  size_t num_nodes;
  WeightGradientScratch scratch;
  bool past_caches;

  int64_t n() const { return dy.of.row_elements(); }
  int64_t k() const { return x.of.row_elements(); }

  template <class T>
  void sum_block(int64_t group, const Block& block) const {
    const auto offsets = rows.of_group(group);
    const int64_t num_rows = offsets.back() - offsets.front();
    if (num_rows == 0) return;
    const std::vector<ChainStep> steps = chain_steps(rows.slices, offsets);
    std::vector<float*> nodes;
    for (const View& view : out.subspan(static_cast<size_t>(group) * num_nodes, num_nodes))
      nodes.push_back(view.as<float>());
    std::byte* memory = thread_scratch(scratch.layout.bytes());
    const auto floats_at = [&](size_t offset) { return reinterpret_cast<float*>(memory + offset); };
    float *a = floats_at(scratch.a), *b = floats_at(scratch.b);

    const int64_t num_pieces = divide_up(num_rows, WeightGradientScratch::kRows);
    const int64_t piece = divide_up(num_rows, num_pieces);
    for (int64_t first = 0; first < num_rows; first += piece) {
      const int64_t count = std::min(piece, num_rows - first);
      const auto rows_of = [row = offsets.front() + first](const ListedRows& listed, int64_t column) {
        return [&listed, row, values = listed.of.as<T>() + column, stride = listed.of.row_elements()](int64_t r) {
          return values + listed[row + r] * stride;
        };
      };
      pack_panels<kOuterRows>(rows_of(dy, block.first_row), count, block.rows, a);
      pack_panels<kOuterColumns>(rows_of(x, block.first_column), count, block.columns, b);
      sum_tiles(block, count, a, b, steps_between(steps, first, first + count), nodes, floats_at(scratch.stack),
                num_pieces > 1);
    }
    _mm_sfence();  // what was written past the caches is there before the task ends
  }

  /// a, b: packed, of so many rows; stack: of the first tile, and of each behind it if each has its own.
  void sum_tiles(const Block& block, int64_t count, const float* a, const float* b, std::span<const ChainStep> steps,
                 std::span<float* const> nodes, float* stack, bool each_has_its_own) const {
    const int64_t next_stack = each_has_its_own ? stack_depth(rows.slices) * kOuterTile : 0;
    for (int64_t i = 0; i < block.rows; i += kOuterRows)
      for (int64_t j = 0; j < block.columns; j += kOuterColumns, stack += next_stack)
        sum_outer_products({.a = a + i * count,
                            .b = b + j * count,
                            .steps = steps,
                            .stack = stack,
                            .nodes = nodes.data(),
                            .offset = (block.first_row + i) * k() + block.first_column + j,
                            .stride = k(),
                            .rows = std::min(kOuterRows, block.rows - i),
                            .columns = std::min(kOuterColumns, block.columns - j),
                            .past_caches = past_caches});
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
  const Gradient gradient{
      dy, x, rows, out, num_nodes, WeightGradientScratch(rows.num_rows(), n, k, rows.slices), bytes > kCachedBytes};
  with_float_type(dy.of.dtype, "weight_gradient", [&](auto type) {
    stream.parallel_for(num_groups * blocks.count(), [&](int64_t task, int) {
      gradient.sum_block<decltype(type)>(task / blocks.count(), blocks[task % blocks.count()]);
    });
  });
}

}  // namespace cpu
}  // namespace switchyard
