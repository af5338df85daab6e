// Internal to kernels/: blocks of queries and keys, as attention forward and backward compute on them. Positions and
// blocks are counted from the record's first token: chains are cut at the same places always.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/attention/key_span.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/op.h"

namespace switchyard {

constexpr int64_t round_down(int64_t n, int64_t multiple) {
  return n / multiple * multiple;
}
constexpr int64_t round_up(int64_t n, int64_t multiple) {
  return round_down(n + multiple - 1, multiple);
}

/// The heads of one key-value head in one record, and where their vectors lie. Row p · group + g of a block of queries
/// is position first + p of the head's g-th query head.
struct RecordHead {
  int64_t record_begin;  ///< token
  int64_t kv_head, kv_heads, group;

  int64_t head(int64_t row) const { return kv_head * group + row % group; }
  int64_t position(int64_t first, int64_t row) const { return first + row / group; }
  /// Which vector of q and out.
  int64_t query(int64_t first, int64_t row) const {
    return (record_begin + position(first, row)) * kv_heads * group + head(row);
  }
  /// Which vector of k and v.
  int64_t key(int64_t position) const { return (record_begin + position) * kv_heads + kv_head; }
};

/// `to` [⌈count / 16⌉][dim][16]: the transpose of `from` [count, dim], whose rows are `stride` apart, in columns of a
/// micro-tile; what is missing is zero.
void pack_transposed(const float* from, int64_t stride, int64_t count, int64_t dim, float* to);

/// `to` [⌈dim / 16⌉][count][16]: the columns of `from` [count, dim], whose rows are `stride` apart, a micro-tile's
/// panels of which are panel_rows rows apart; what is missing is zero.
void pack_panels(const float* from, int64_t stride, int64_t count, int64_t dim, float* to, int64_t panel_rows);

/// Of scores [begin, end), whole lanes, those outside [from, to) become −∞.
inline void hide(float* score, int64_t begin, int64_t end, int64_t from, int64_t to) {
  constexpr I32x8 kLane{0, 1, 2, 3, 4, 5, 6, 7};
  for (int64_t i = begin; i < std::min(from, end); i += kLanes)
    store(score + i, kLane < static_cast<int32_t>(from - i) ? broadcast(-kInfinity) : load(score + i));
  for (int64_t i = std::max(begin, round_down(to, kLanes)); i < end; i += kLanes)
    store(score + i, kLane < static_cast<int32_t>(to - i) ? load(score + i) : broadcast(-kInfinity));
}

/// Fails (internal) where the offsets do not cover the tokens in order.
std::span<const int64_t> checked_offsets(ConstView record_offsets, int64_t tokens);

}  // namespace switchyard
