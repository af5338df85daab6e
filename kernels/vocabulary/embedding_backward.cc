#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <vector>

#include "kernels/cpu/vector_math.h"
#include "kernels/row_blocks.h"
#include "kernels/scratch.h"
#include "kernels/vocabulary/embedding.h"

namespace switchyard {
namespace {

constexpr int64_t kIdsPerTask = 256;

struct EmbeddingBackwardScratch {
  ScratchLayout layout;
  size_t tokens;  ///< [tokens] i32: those with a task's ids
  size_t sums;    ///< [levels of the tree, dim] f32: second halves
  EmbeddingBackwardScratch(int64_t num_tokens, int64_t dim, int64_t slices) {
    tokens = layout.add(static_cast<size_t>(num_tokens) * sizeof(int32_t));
    sums = layout.add(static_cast<size_t>(std::bit_width(static_cast<uint64_t>(slices)) * dim) * sizeof(float));
  }
};

/// The tokens of each of a few consecutive ids, in order.
struct TokensByIds {
  std::array<int64_t, kIdsPerTask + 1> begin{};
  const int32_t* tokens;

  TokensByIds(std::span<const int32_t> ids, int64_t first_id, int64_t count, int32_t* sorted) : tokens(sorted) {
    const auto each = [&](const auto& body) {
      for (size_t t = 0; t < ids.size(); ++t)
        if (const int64_t id = ids[t] - first_id; id >= 0 && id < count) body(t, static_cast<size_t>(id));
    };
    each([&](size_t, size_t id) { ++begin[id + 1]; });
    for (size_t id = 0; id < kIdsPerTask; ++id) begin[id + 1] += begin[id];
    std::array<int64_t, kIdsPerTask + 1> end = begin;
    each([&](size_t t, size_t id) { sorted[end[id]++] = static_cast<int32_t>(t); });
  }
  std::span<const int32_t> of(int64_t id) const {
    const auto i = static_cast<size_t>(id);
    return {tokens + begin[i], tokens + begin[i + 1]};
  }
};

/// Rows of dy, added up the tree over slices.
struct TreeSum {
  const float* dy;
  int64_t dim;
  const SlicedRows& rows;

  /// Those of the tokens that are before this slice.
  std::span<const int32_t> before(int64_t slice, std::span<const int32_t> tokens) const {
    const int64_t end = rows.offsets[static_cast<size_t>(slice - rows.slices.first)];
    return {tokens.begin(), std::ranges::lower_bound(tokens, end)};
  }

  /// to [dim] = the sum over a node's tokens. scratch: [levels below the node, dim]
  void add_up(const SliceRange& node, std::span<const int32_t> tokens, float* to, float* scratch) const {
    if (tokens.empty() || node.count() == 1) {
      std::fill_n(to, dim, 0.0f);
      for (const int32_t t : tokens) add_to(to, dy + t * dim, dim);
      if (rows.squared)
        for (int64_t i = 0; i < dim; ++i) to[i] *= to[i];
      return;
    }
    const int64_t middle = node.first + node.count() / 2;
    const auto first = before(middle, tokens), second = tokens.subspan(first.size());
    // To leave out an empty half is to add its zeros: no sum that begins at +0 is −0.
    if (second.empty()) return add_up({node.first, middle}, first, to, scratch);
    if (first.empty()) return add_up({middle, node.end}, second, to, scratch);
    add_up({node.first, middle}, first, to, scratch);
    add_up({middle, node.end}, second, scratch, scratch + dim);
    add_to(to, scratch, dim);
  }
};

}  // namespace

namespace cpu {

size_t embedding_backward_bytes(ConstView ids, ConstView dy, const SlicedRows& rows, int64_t, std::span<const View>) {
  return EmbeddingBackwardScratch(ids.rows(), dy.row_elements(), rows.slices.count()).layout.bytes();
}

// A task is a block of ids: it finds their tokens, and writes their rows of every node.
void embedding_backward(const Stream& stream, ConstView ids, ConstView dy, const SlicedRows& rows, int64_t first_id,
                        std::span<const View> dtable) {
  const int64_t tokens = ids.rows(), dim = dy.row_elements();
  const std::vector<SliceRange> nodes = tree_nodes(rows.slices);
  SWITCHYARD_CHECK(dtable.size() == nodes.size(), "embedding_backward: {} results for {} nodes", dtable.size(),
                   nodes.size());
  if (nodes.empty()) return;
  SWITCHYARD_CHECK(rows.num_groups() == 1 && rows.num_rows() == tokens && dy.rows() == tokens &&
                       tokens <= std::numeric_limits<int32_t>::max(),
                   "embedding_backward: {} ids, dy {}, {} rows of {} groups", tokens, dy.shape.str(), rows.num_rows(),
                   rows.num_groups());
  const int64_t range = dtable[0].rows();
  for (const View& d : dtable)
    SWITCHYARD_CHECK(d.rows() == range && d.row_elements() == dim, "embedding_backward: a result {} of {} ids, dy {}",
                     d.shape.str(), range, dy.shape.str());
  const TreeSum sum{dy.as<float>(), dim, rows};
  const EmbeddingBackwardScratch scratch(tokens, dim, rows.slices.count());
  for_row_blocks(
      stream, range,
      [&](int64_t first, int64_t count) {
        std::byte* memory = thread_scratch(scratch.layout.bytes());
        const TokensByIds by_id(ids.span<int32_t>(), first_id + first, count,
                                reinterpret_cast<int32_t*>(memory + scratch.tokens));
        for (int64_t id = 0; id < count; ++id) {
          std::span<const int32_t> left = by_id.of(id);
          for (size_t j = 0; j < nodes.size(); ++j) {
            const auto of_node = sum.before(nodes[j].end, left);
            sum.add_up(nodes[j], of_node, dtable[j].as<float>() + (first + id) * dim,
                       reinterpret_cast<float*>(memory + scratch.sums));
            left = left.subspan(of_node.size());
          }
        }
      },
      kIdsPerTask);
}

}  // namespace cpu
}  // namespace switchyard
