#include "kernels/attention/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "kernels/attention/cpu/blocks.h"
#include "kernels/cpu/exponentials.h"
#include "kernels/cpu/scratch_layouts.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/products/cpu/multiply_tile.h"
#include "kernels/row_blocks.h"

namespace switchyard {
namespace {

constexpr int64_t kKeyBlock =
    128;  // counted from the record's first token: a row's sum is cut at the same places always

// Where a row's maximum begins. Finite: a row that sees no key of its first block shall get no ∞ − ∞.
constexpr float kLowest = std::numeric_limits<float>::lowest();

}  // namespace

// Many rows share a packed block of keys and values: as many as leave it room beside their queries and sums in a cache
// of half a megabyte, but not so many positions that a record is too few tasks. They make whole tiles, of any CPU's
// size.
AttentionScratch::AttentionScratch(int64_t group, int64_t head_dim, int64_t value_dim)
    : padded_dim(round_up(value_dim, kTileColumns)) {
  constexpr int64_t kFloats = (256 << 10) / sizeof(float), kFewestPositions = 8, kMostPositions = 126;
  const int64_t most = std::min(kFloats / (head_dim + padded_dim) / group, kMostPositions);
  const int64_t of_whole_tiles = kMostMultiplyRows / std::gcd(kMostMultiplyRows, group);
  positions = std::max(round_down(most, of_whole_tiles), kFewestPositions);
  rows = positions * group;
  const auto floats = [&](int64_t count) { return layout.add(static_cast<size_t>(count) * sizeof(float)); };
  q = floats(rows * head_dim);
  keys = floats(kKeyBlock * head_dim);
  values = floats(kKeyBlock * padded_dim);
  scores = floats(kMostMultiplyRows * kKeyBlock);
  sums = floats(rows * padded_dim);
  row_max = floats(rows);
  row_sum = floats(rows);
}

namespace {

struct Arguments {
  ConstView q, k, v;
  KeySpan span;
  ConstView sinks;
  float scale;
  View lse;
};

struct Task {
  RecordHead head;
  int64_t record_length;
  int64_t first, count;  // positions within the record
};

/// Keys [begin, end), counted from the record's key `first`: what some query of a block sees. `begin` is at a
/// micro-tile's column.
struct KeyBlock {
  int64_t first, begin, end;
};

/// One block of queries of one key-value head.
class QueryBlock {
 public:
  QueryBlock(const Task& task, const Arguments& in, const AttentionScratch& scratch)
      : task_(task),
        span_(in.span),
        head_dim_(in.q.shape[2]),
        value_dim_(in.v.shape[2]),
        padded_dim_(scratch.padded_dim),
        rows_(task.count * task.head.group),
        scale_(in.scale),
        q_in_(in.q.as<float>()),
        k_in_(in.k.as<float>()),
        v_in_(in.v.as<float>()),
        sinks_(in.sinks.as<float>()),
        lse_(in.lse.as<float>()) {
    std::byte* memory = thread_scratch(scratch.layout.bytes());
    const auto floats = [memory](size_t offset) { return reinterpret_cast<float*>(memory + offset); };
    q_ = floats(scratch.q);
    keys_ = floats(scratch.keys);
    values_ = floats(scratch.values);
    scores_ = floats(scratch.scores);
    sums_ = floats(scratch.sums);
    row_max_ = floats(scratch.row_max);
    row_sum_ = floats(scratch.row_sum);
  }

  template <class T>
  void run(T* out) {
    load_queries();
    begin_sums();
    const int64_t seen = span_.first_key(task_.first), end = task_.first + task_.count;
    for (int64_t key = round_down(seen, kKeyBlock); key < end; key += kKeyBlock) {
      const KeyBlock block{key, round_down(std::max<int64_t>(seen - key, 0), kTileColumns),
                           std::min(kKeyBlock, end - key)};
      pack_keys(block);
      pack_values(block);
      for (int64_t row = 0; row < rows_; row += std::ssize(multiply_)) attend(row, block);
    }
    store_outputs(out);
    if (lse_ != nullptr) store_lse();
  }

 private:
  int64_t position(int64_t row) const { return task_.head.position(task_.first, row); }
  int64_t query(int64_t row) const { return task_.head.query(task_.first, row); }

  void load_queries() {
    for (int64_t row = 0; row < rows_; ++row) {
      const float* from = q_in_ + query(row) * head_dim_;
      for (int64_t d = 0; d < head_dim_; ++d) q_[row * head_dim_ + d] = from[d] * scale_;
    }
  }

  // A sink is a key before all others, with a value of zero.
  void begin_sums() {
    std::fill_n(sums_, rows_ * padded_dim_, 0.0f);
    std::fill_n(row_max_, rows_, kLowest);
    std::fill_n(row_sum_, rows_, 0.0f);
    if (sinks_ == nullptr) return;
    for (int64_t row = 0; row < rows_; ++row) {
      const float sink = sinks_[task_.head.head(row)];
      row_max_[row] = sink < kLowest ? kLowest : sink;
      row_sum_[row] = 1;
    }
  }

  // keys_: [block.end / 16][head_dim][16]
  void pack_keys(const KeyBlock& block) {
    pack_transposed(k_in_ + task_.head.key(block.first + block.begin) * head_dim_, task_.head.kv_heads * head_dim_,
                    block.end - block.begin, head_dim_, keys_ + block.begin * head_dim_);
  }

  // values_: [padded_dim / 16][block.end][16]
  void pack_values(const KeyBlock& block) {
    pack_panels(v_in_ + task_.head.key(block.first + block.begin) * value_dim_, task_.head.kv_heads * value_dim_,
                block.end - block.begin, value_dim_, values_ + block.begin * kTileColumns, block.end);
  }

  // A tile's rows against a block's keys, from the first that the first row sees to the last that the last one sees.
  void attend(int64_t row, const KeyBlock& block) {
    const int64_t count = std::min<int64_t>(std::ssize(multiply_), rows_ - row);
    const int64_t begin = std::max<int64_t>(span_.first_key(position(row)) - block.first, 0);
    const int64_t end = std::min(position(row + count - 1) + 1 - block.first, block.end);
    if (begin >= end) return;
    const MultiplyTile multiply = multiply_[static_cast<size_t>(count) - 1];
    for (int64_t j = round_down(begin, kTileColumns); j < end; j += kTileColumns)
      multiply(q_ + row * head_dim_, head_dim_, keys_ + j * head_dim_, head_dim_, false, scores_ + j, kKeyBlock);
    exponentiate(row, count, {block.first, begin, end});
    float* sums = sums_ + row * padded_dim_;
    for (int64_t d = 0; d < padded_dim_; d += kTileColumns)
      multiply(scores_ + begin, kKeyBlock, values_ + d * block.end + begin * kTileColumns, end - begin, true, sums + d,
               padded_dim_);
  }

  // The online softmax (Milakov & Gimelshein 2018) of a tile's rows: the scores of `keys` become e^(score − max), 0
  // where a row does not see the key; on a new maximum the row's sums shrink accordingly. Step by step for all rows, so
  // that one row's chain of dependent operations runs beside the others'.
  void exponentiate(int64_t row, int64_t count, const KeyBlock& keys) {
    std::array<float, kMostMultiplyRows> new_max, sum, shrink;
    const int64_t begin = round_down(keys.begin, kLanes), end = round_up(keys.end, kLanes);
    for (int64_t r = 0; r < count; ++r) {
      float* score = scores_ + r * kKeyBlock;
      const int64_t last = position(row + r);
      hide(score, begin, end, span_.first_key(last) - keys.first, std::min(last + 1 - keys.first, keys.end));
      F32x8 top = broadcast(row_max_[row + r]);
      for (int64_t i = begin; i < end; i += kLanes) top = max(load(score + i), top);
      new_max[r] = max_of_lanes(top);
    }
    for (int64_t r = 0; r < count; ++r)
      sum[r] = sum_of_lanes(exponentials(scores_ + r * kKeyBlock + begin, end - begin, new_max[r]));
    for_lanes(count, [&](int64_t r, auto read, auto write) {
      const F32x8 factor = exp(read(row_max_ + row + r) - read(&new_max[r]));
      write(&shrink[r], factor);
      write(row_sum_ + row + r, read(row_sum_ + row + r) * factor + read(&sum[r]));
      write(row_max_ + row + r, read(&new_max[r]));
    });
    for (int64_t r = 0; r < count; ++r) {
      if (shrink[r] == 1) continue;
      float* sums = sums_ + (row + r) * padded_dim_;
      for (int64_t d = 0; d < padded_dim_; d += kLanes) store(sums + d, load(sums + d) * broadcast(shrink[r]));
    }
  }

  template <class T>
  void store_outputs(T* out) const {
    for (int64_t row = 0; row < rows_; ++row) {
      const float* sums = sums_ + row * padded_dim_;
      const F32x8 inverse = broadcast(1 / row_sum_[row]);
      T* to = out + query(row) * value_dim_;
      for_lanes(value_dim_, [&](int64_t d, auto read, auto write) { write(to + d, read(sums + d) * inverse); });
    }
  }

  // The logarithm in double: a C library's rounding of it does not show.
  void store_lse() const {
    for (int64_t row = 0; row < rows_; ++row)
      lse_[query(row)] = static_cast<float>(row_max_[row] + std::log(static_cast<double>(row_sum_[row])));
  }

  const std::span<const MultiplyTile> multiply_ = multiply_tiles();
  const Task task_;
  const KeySpan span_;
  const int64_t head_dim_, value_dim_, padded_dim_, rows_;
  const float scale_;
  const float *q_in_, *k_in_, *v_in_, *sinks_;
  float* lse_;
  float *q_, *keys_, *values_, *scores_, *sums_, *row_max_, *row_sum_;
};

// The longest record first, its parts from the last on: cost grows with the number of keys. A head's blocks follow each
// other, for they read the same keys; where a span leaves them few in common, the blocks of the same tokens do.
std::vector<Task> make_tasks(std::span<const int64_t> offsets, int64_t kv_heads, int64_t group, const KeySpan& span,
                             int64_t positions) {
  std::vector<Task> tasks;
  for (size_t r = 0; r + 1 < offsets.size(); ++r) {
    const int64_t length = offsets[r + 1] - offsets[r];
    for (int64_t end = length; end > 0; end = round_down(end - 1, positions)) {
      const int64_t first = round_down(end - 1, positions);
      for (int64_t h = 0; h < kv_heads; ++h)
        tasks.push_back({{offsets[r], h, kv_heads, group}, length, first, end - first});
    }
  }
  const bool by_head = span.kind == KeySpan::Kind::all || span.size > 4 * kKeyBlock;
  std::stable_sort(tasks.begin(), tasks.end(), [&](const Task& a, const Task& b) {
    if (a.record_length != b.record_length) return a.record_length > b.record_length;
    if (a.head.record_begin != b.head.record_begin) return a.head.record_begin < b.head.record_begin;
    return by_head && a.head.kv_head < b.head.kv_head;
  });
  return tasks;
}

}  // namespace

void check_attention(ConstView q, ConstView k, ConstView v, const KeySpan& span, ConstView sinks, ConstView lse,
                     ConstView out) {
  const DType operand = attention_operand(q.device, out.dtype);
  SWITCHYARD_CHECK(q.dtype == operand && k.dtype == operand && v.dtype == operand,
                   "attention: q {}, k {}, v {}, for {} of this device {} is expected", name_of(q.dtype),
                   name_of(k.dtype), name_of(v.dtype), name_of(out.dtype), name_of(operand));
  SWITCHYARD_CHECK(q.shape.rank() == 3 && k.shape.rank() == 3 && k.rows() == q.rows() && k.shape[1] > 0 &&
                       q.shape[1] % k.shape[1] == 0 && k.shape[2] == q.shape[2] && v.shape.rank() == 3 &&
                       v.shape == Shape({k.rows(), k.shape[1], v.shape[2]}) &&
                       out.shape == Shape({q.rows(), q.shape[1], v.shape[2]}),
                   "attention: q {}, k {}, v {}, out {}", q.shape.str(), k.shape.str(), v.shape.str(), out.shape.str());
  SWITCHYARD_CHECK(sinks.data == nullptr || sinks.elements() == q.shape[1], "attention: sinks {} for {} heads",
                   sinks.shape.str(), q.shape[1]);
  SWITCHYARD_CHECK(lse.data == nullptr || lse.shape == Shape({q.rows(), q.shape[1]}), "attention: q {}, lse {}",
                   q.shape.str(), lse.shape.str());
  SWITCHYARD_CHECK(span.is_valid(), "attention: a window or chunk of {} keys", span.size);
}

namespace cpu {

size_t attention_bytes(ConstView q, ConstView k, ConstView v, ConstView, const KeySpan&, ConstView, float, View, View) {
  return AttentionScratch(q.shape[1] / k.shape[1], q.shape[2], v.shape[2]).layout.bytes();
}

void attention(const Stream& stream, ConstView q, ConstView k, ConstView v, ConstView record_offsets,
               const KeySpan& span, ConstView sinks, float scale, View lse, View out) {
  check_attention(q, k, v, span, sinks, lse, out);
  const int64_t kv_heads = k.shape[1], group = q.shape[1] / kv_heads;
  const AttentionScratch scratch(group, q.shape[2], v.shape[2]);
  const std::vector<Task> tasks =
      make_tasks(checked_offsets(record_offsets, q.rows()), kv_heads, group, span, scratch.positions);
  const Arguments in{q, k, v, span, sinks, scale, lse};
  with_float_type(out.dtype, "attention", [&](auto element) {
    auto* to = out.as<decltype(element)>();
    stream.parallel_for(static_cast<int64_t>(tasks.size()),
                        [&](int64_t i, int) { QueryBlock(tasks[static_cast<size_t>(i)], in, scratch).run(to); });
  });
}

}  // namespace cpu
}  // namespace switchyard
