#include "kernels/attention/attention.h"

#include <array>
#include <utility>
#include <vector>

#include "kernels/cpu/exponentials.h"
#include "kernels/cpu/scratch_layouts.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/products/cpu/multiply_tile.h"
#include "kernels/row_blocks.h"

namespace switchyard {
namespace {

constexpr int64_t kKeyBlock =
    128;  // counted from the record's first token: a row's sum is cut at the same places always

int64_t round_up(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

}  // namespace

// About 256 rows share a packed block of keys and values, and at most 64 positions, or the causal edge wastes too much.
AttentionScratch::AttentionScratch(int64_t group, int64_t head_dim)
    : positions(std::clamp<int64_t>(256 / group, 8, 64)),
      rows(positions * group),
      padded_dim(round_up(head_dim, kTileColumns)) {
  const auto floats = [&](int64_t count) { return layout.add(static_cast<size_t>(count) * sizeof(float)); };
  q = floats(rows * head_dim);
  keys = floats(kKeyBlock * head_dim);
  values = floats(kKeyBlock * padded_dim);
  scores = floats(rows * kKeyBlock);
  sums = floats(rows * padded_dim);
  row_max = floats(rows);
  row_sum = floats(rows);
}

namespace {

struct Task {
  int64_t record_begin;  // token
  int64_t first, count;  // positions within the record
  int64_t kv_head;
};

/// One block of queries of one key-value head. Row p · group + g is position first + p of the head's g-th query head.
class QueryBlock {
 public:
  QueryBlock(const Task& task, ConstView q, ConstView k, ConstView v, const AttentionScratch& scratch)
      : task_(task),
        heads_(q.shape[1]),
        kv_heads_(k.shape[1]),
        head_dim_(q.shape[2]),
        padded_dim_(scratch.padded_dim),
        group_(heads_ / kv_heads_),
        rows_(task.count * group_),
        q_in_(q.as<float>()),
        k_in_(k.as<float>()),
        v_in_(v.as<float>()) {
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
  void run(float scale, T* out) {
    load_queries(scale);
    std::fill_n(sums_, rows_ * padded_dim_, 0.0f);
    std::fill_n(row_max_, rows_, -kInfinity);
    std::fill_n(row_sum_, rows_, 0.0f);
    const int64_t end = task_.first + task_.count;
    for (int64_t key = 0; key < end; key += kKeyBlock) {
      const int64_t num_keys = std::min(kKeyBlock, end - key);
      pack_keys_and_values(key, num_keys);
      for (int64_t row = 0; row < rows_; row += std::ssize(multiply_)) attend(row, key, num_keys);
    }
    store_outputs(out);
  }

 private:
  int64_t query_element(int64_t row) const {
    const int64_t token = task_.record_begin + task_.first + row / group_;
    return (token * heads_ + task_.kv_head * group_ + row % group_) * head_dim_;
  }

  void load_queries(float scale) {
    for (int64_t row = 0; row < rows_; ++row) {
      const float* from = q_in_ + query_element(row);
      for (int64_t d = 0; d < head_dim_; ++d) q_[row * head_dim_ + d] = from[d] * scale;
    }
  }

  // keys_: [num_keys / 16][head_dim][16], values_: [padded_dim / 16][num_keys][16]; what is missing is zero.
  void pack_keys_and_values(int64_t key, int64_t num_keys) {
    const int64_t stride = kv_heads_ * head_dim_;
    const int64_t origin = (task_.record_begin + key) * stride + task_.kv_head * head_dim_;
    for (int64_t j = 0; j < round_up(num_keys, kTileColumns); j += kLanes) {
      const float* from = k_in_ + origin + j * stride;
      float* to = keys_ + j / kTileColumns * kTileColumns * head_dim_ + j % kTileColumns;
      const int64_t count = std::clamp<int64_t>(num_keys - j, 0, kLanes);
      int64_t d = 0;
      for (; count == kLanes && d + kLanes <= head_dim_; d += kLanes)
        transpose_8x8(from + d, stride, to + d * kTileColumns, kTileColumns);
      for (; d < head_dim_; ++d)
        for (int64_t i = 0; i < kLanes; ++i) to[d * kTileColumns + i] = i < count ? from[i * stride + d] : 0;
    }
    for (int64_t j = 0; j < num_keys; ++j) {
      const float* from = v_in_ + origin + j * stride;
      for (int64_t d = 0; d < padded_dim_; d += kTileColumns) {
        float* to = values_ + d * num_keys + j * kTileColumns;
        const int64_t used = std::min(kTileColumns, head_dim_ - d);
        std::fill(std::copy_n(from + d, used, to), to + kTileColumns, 0.0f);
      }
    }
  }

  // A tile's rows against keys [key, key + num_keys), as far as the last of these rows sees them.
  void attend(int64_t row, int64_t key, int64_t num_keys) {
    const int64_t count = std::min<int64_t>(std::ssize(multiply_), rows_ - row);
    const int64_t visible = std::min(num_keys, visible_keys(row + count - 1, key));
    if (visible <= 0) return;
    const MultiplyTile multiply = multiply_[static_cast<size_t>(count) - 1];
    float* scores = scores_ + row * kKeyBlock;
    for (int64_t j = 0; j < visible; j += kTileColumns)
      multiply(q_ + row * head_dim_, head_dim_, keys_ + j * head_dim_, head_dim_, false, scores + j, kKeyBlock);
    exponentiate(row, count, key, num_keys, visible);
    float* sums = sums_ + row * padded_dim_;
    for (int64_t d = 0; d < padded_dim_; d += kTileColumns)
      multiply(scores, kKeyBlock, values_ + d * num_keys, visible, true, sums + d, padded_dim_);
  }

  int64_t visible_keys(int64_t row, int64_t key) const { return task_.first + row / group_ + 1 - key; }

  // The online softmax (Milakov & Gimelshein 2018) of a tile's rows: scores become e^(score − max), 0 from the last key
  // that a row sees to `width`; on a new maximum the row's sums shrink accordingly. Step by step for all rows, so that
  // one row's chain of dependent operations runs beside the others'.
  void exponentiate(int64_t row, int64_t count, int64_t key, int64_t num_keys, int64_t width) {
    std::array<int64_t, kMostMultiplyRows> lanes_end;
    std::array<float, kMostMultiplyRows> new_max, sum, shrink;
    for (int64_t r = 0; r < count; ++r) {
      float* score = scores_ + (row + r) * kKeyBlock;
      const int64_t visible = std::clamp<int64_t>(visible_keys(row + r, key), 0, num_keys);
      lanes_end[r] = round_up(visible, kLanes);
      std::fill(score + visible, score + lanes_end[r], -kInfinity);
      if (lanes_end[r] < width) std::fill(score + lanes_end[r], score + width, 0.0f);
      F32x8 top = broadcast(row_max_[row + r]);
      for (int64_t i = 0; i < lanes_end[r]; i += kLanes) top = max(load(score + i), top);
      new_max[r] = max_of_lanes(top);
    }
    for (int64_t r = 0; r < count; ++r)
      sum[r] = sum_of_lanes(exponentials(scores_ + (row + r) * kKeyBlock, lanes_end[r], new_max[r]));
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
      T* to = out + query_element(row);
      for_lanes(head_dim_, [&](int64_t d, auto read, auto write) { write(to + d, read(sums + d) * inverse); });
    }
  }

  const std::span<const MultiplyTile> multiply_ = multiply_tiles();
  const Task task_;
  const int64_t heads_, kv_heads_, head_dim_, padded_dim_, group_, rows_;
  const float *q_in_, *k_in_, *v_in_;
  float *q_, *keys_, *values_, *scores_, *sums_, *row_max_, *row_sum_;
};

std::vector<Task> make_tasks(std::span<const int64_t> offsets, int64_t kv_heads, int64_t positions) {
  std::vector<Task> tasks;
  for (size_t r = 0; r + 1 < offsets.size(); ++r) {
    const int64_t length = offsets[r + 1] - offsets[r];
    for (int64_t first = 0; first < length; first += positions)
      for (int64_t h = 0; h < kv_heads; ++h)
        tasks.push_back({offsets[r], first, std::min(positions, length - first), h});
  }
  // The longest first: cost grows with the number of keys.
  std::stable_sort(tasks.begin(), tasks.end(),
                   [](const Task& a, const Task& b) { return a.first + a.count > b.first + b.count; });
  return tasks;
}

}  // namespace

namespace cpu {

size_t attention_bytes(ConstView q, ConstView k, ConstView, ConstView, float, View) {
  return AttentionScratch(q.shape[1] / k.shape[1], q.shape[2]).layout.bytes();
}

void attention(const Stream& stream, ConstView q, ConstView k, ConstView v, ConstView record_offsets, float scale,
               View out) {
  const auto offsets = record_offsets.span<int64_t>();
  SWITCHYARD_CHECK(q.shape.rank() == 3 && k.shape.rank() == 3 && k.shape == v.shape && out.shape == q.shape &&
                       k.rows() == q.rows() && k.shape[2] == q.shape[2] && q.shape[1] % k.shape[1] == 0,
                   "attention: q {}, k {}, v {}, out {}", q.shape.str(), k.shape.str(), v.shape.str(), out.shape.str());
  SWITCHYARD_CHECK(!offsets.empty() && offsets.front() == 0 && offsets.back() == q.rows() &&
                       std::is_sorted(offsets.begin(), offsets.end()),
                   "attention: the offsets of {} records do not cover {} tokens in order", offsets.size() - 1,
                   q.rows());
  const AttentionScratch scratch(q.shape[1] / k.shape[1], q.shape[2]);
  const std::vector<Task> tasks = make_tasks(offsets, k.shape[1], scratch.positions);
  with_float_type(out.dtype, "attention", [&](auto element) {
    auto* to = out.as<decltype(element)>();
    stream.parallel_for(static_cast<int64_t>(tasks.size()), [&](int64_t i, int) {
      QueryBlock(tasks[static_cast<size_t>(i)], q, k, v, scratch).run(scale, to);
    });
  });
}

}  // namespace cpu
}  // namespace switchyard
