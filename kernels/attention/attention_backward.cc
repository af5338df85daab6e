#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/attention/cpu/blocks.h"
#include "kernels/cpu/exponentials.h"
#include "kernels/cpu/scratch_layouts.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/products/cpu/multiply_tile.h"

namespace switchyard {

// Many keys, for the rows' vectors are read again for every block of keys; few rows, so that their probabilities and
// dS stay in the cache until dk and dv are summed.
AttentionBackwardScratch::AttentionBackwardScratch(int64_t group, int64_t head_dim, int64_t value_dim)
    : padded_head_dim(round_up(head_dim, kTileColumns)), padded_value_dim(round_up(value_dim, kTileColumns)) {
  const int64_t fitting = std::max<int64_t>(kMostRows / group, 1);
  const int64_t of_whole_tiles = kMostMultiplyRows / std::gcd(kMostMultiplyRows, group);
  positions = fitting < of_whole_tiles ? fitting : round_down(fitting, of_whole_tiles);
  rows = positions * group;
  const auto floats = [&](int64_t count) { return layout.add(static_cast<size_t>(count) * sizeof(float)); };
  q = floats(rows * head_dim);
  d_out = floats(rows * value_dim);
  lse = floats(rows);
  delta = floats(rows);
  q_panels = floats(rows * padded_head_dim);
  d_out_panels = floats(rows * padded_value_dim);
  keys = floats(kKeys * head_dim);
  values = floats(kKeys * value_dim);
  key_panels = floats(kKeys * padded_head_dim);
  p = floats(rows * kKeys);
  ds = floats(rows * kKeys);
  dq = floats(kMostMultiplyRows * padded_head_dim);
  dk = floats(kKeys * padded_head_dim);
  dv = floats(kKeys * padded_value_dim);
}

namespace {

constexpr int64_t kKeysAtOnce = AttentionBackwardScratch::kKeys;

struct BackwardArguments {
  const float *q, *k, *v;
  KeySpan span;
  float scale;
  const float *out, *lse, *d_out;
  float *dq, *dk, *dv;
  int64_t head_dim, value_dim;
};

/// Queries against keys, both from a block's beginning on; what is summed of them is summed over all that there are.
struct BackwardTask {
  RecordHead head;
  int64_t first_query, end_query, first_key, end_key;
  bool dq, dk_dv;
  int64_t cost;
};

/// Sums only ever pass through here: what a chain ends in is never −0, whichever zeros it had.
void store_sums(const float* from, int64_t count, float* to) {
  for_lanes(count, [&](int64_t i, auto read, auto write) { write(to + i, read(from + i) + 0.0f); });
}

/// One task: block of keys by block of keys, of each the blocks of queries that see some of them.
class Blocks {
 public:
  Blocks(const BackwardTask& task, const BackwardArguments& in, const AttentionBackwardScratch& scratch)
      : task_(task),
        head_(task.head),
        in_(in),
        padded_head_dim_(scratch.padded_head_dim),
        padded_value_dim_(scratch.padded_value_dim),
        positions_(scratch.positions) {
    std::byte* memory = thread_scratch(scratch.layout.bytes());
    const auto floats = [memory](size_t offset) { return reinterpret_cast<float*>(memory + offset); };
    q_ = floats(scratch.q);
    d_out_ = floats(scratch.d_out);
    lse_ = floats(scratch.lse);
    delta_ = floats(scratch.delta);
    q_panels_ = floats(scratch.q_panels);
    d_out_panels_ = floats(scratch.d_out_panels);
    keys_ = floats(scratch.keys);
    values_ = floats(scratch.values);
    key_panels_ = floats(scratch.key_panels);
    p_ = floats(scratch.p);
    ds_ = floats(scratch.ds);
    dq_ = floats(scratch.dq);
    dk_ = floats(scratch.dk);
    dv_ = floats(scratch.dv);
  }

  void run() {
    for (int64_t key = task_.first_key; key < task_.end_key; key += kKeysAtOnce) {
      begin_keys(key);
      const int64_t end = std::min(in_.span.end_query(key + num_keys_ - 1), task_.end_query);
      for (int64_t query = std::max(round_down(key, positions_), task_.first_query); query < end; query += positions_) {
        begin_queries(query);
        for (int64_t row = 0; row < rows_; row += std::ssize(multiply_)) attend(row);
        if (task_.dk_dv) add_to_keys();
      }
      if (task_.dk_dv) store_keys();
    }
  }

 private:
  int64_t position(int64_t row) const { return head_.position(first_query_, row); }
  int64_t query(int64_t row) const { return head_.query(first_query_, row); }

  void multiply_by_scale(const float* from, int64_t count, float* to) const {
    const F32x8 scale = broadcast(in_.scale);
    for_lanes(count, [&](int64_t i, auto read, auto write) { write(to + i, read(from + i) * scale); });
  }

  void begin_keys(int64_t first) {
    first_key_ = first;
    num_keys_ = std::min(kKeysAtOnce, task_.end_key - first);
    const int64_t head_dim = in_.head_dim, value_dim = in_.value_dim;
    const float *k = in_.k + head_.key(first) * head_dim, *v = in_.v + head_.key(first) * value_dim;
    pack_transposed(k, head_.kv_heads * head_dim, num_keys_, head_dim, keys_);
    pack_transposed(v, head_.kv_heads * value_dim, num_keys_, value_dim, values_);
    if (task_.dq) {
      pack_panels(k, head_.kv_heads * head_dim, num_keys_, head_dim, key_panels_, num_keys_);
      multiply_by_scale(key_panels_, num_keys_ * padded_head_dim_, key_panels_);
    }
    if (task_.dk_dv) {
      std::fill_n(dk_, num_keys_ * padded_head_dim_, 0.0f);
      std::fill_n(dv_, num_keys_ * padded_value_dim_, 0.0f);
    }
  }

  void begin_queries(int64_t first) {
    first_query_ = first;
    rows_ = std::min(positions_, task_.end_query - first) * head_.group;
    const int64_t head_dim = in_.head_dim, value_dim = in_.value_dim;
    for (int64_t row = 0; row < rows_; ++row) {
      const int64_t n = query(row);
      const float* d_out = in_.d_out + n * value_dim;
      multiply_by_scale(in_.q + n * head_dim, head_dim, q_ + row * head_dim);
      std::copy_n(d_out, value_dim, d_out_ + row * value_dim);
      lse_[row] = in_.lse[n];
      delta_[row] = dot(d_out, in_.out + n * value_dim, value_dim);
    }
    if (!task_.dk_dv) return;
    pack_panels(q_, head_dim, rows_, head_dim, q_panels_, rows_);
    pack_panels(d_out_, value_dim, rows_, value_dim, d_out_panels_, rows_);
  }

  // A micro-tile's rows against the keys from the first that the first row sees to the last that the last one sees.
  void attend(int64_t row) {
    const int64_t count = std::min<int64_t>(std::ssize(multiply_), rows_ - row);
    const int64_t begin = std::clamp<int64_t>(in_.span.first_key(position(row)) - first_key_, 0, num_keys_);
    const int64_t end = std::max(begin, std::min(position(row + count - 1) + 1 - first_key_, num_keys_));
    const MultiplyTile multiply = multiply_[static_cast<size_t>(count) - 1];
    for (int64_t j = round_down(begin, kTileColumns); j < end; j += kTileColumns) {
      multiply(q_ + row * in_.head_dim, in_.head_dim, keys_ + j * in_.head_dim, in_.head_dim, false,
               p_ + row * kKeysAtOnce + j, kKeysAtOnce);
      multiply(d_out_ + row * in_.value_dim, in_.value_dim, values_ + j * in_.value_dim, in_.value_dim, false,
               ds_ + row * kKeysAtOnce + j, kKeysAtOnce);
    }
    for (int64_t r = row; r < row + count && begin < end; ++r) differentiate(r, begin, end);
    if (task_.dq) add_to_queries(row, count, begin, end);
  }

  // Of the row's scores and d_out vᵀ to P and dS; both are zero where the row does not see the key.
  void differentiate(int64_t row, int64_t begin, int64_t end) {
    const int64_t first = round_down(begin, kLanes), past = round_up(end, kLanes), last = position(row);
    float *p = p_ + row * kKeysAtOnce, *ds = ds_ + row * kKeysAtOnce;
    hide(p, first, past, in_.span.first_key(last) - first_key_, std::min(last + 1 - first_key_, end));
    exponentials(p + first, past - first, lse_[row]);
    const F32x8 delta = broadcast(delta_[row]);
    for (int64_t j = first; j < past; j += kLanes) store(ds + j, load(p + j) * (load(ds + j) - delta));
    for (float* outside : {p, ds}) {
      std::fill(outside, outside + first, 0.0f);
      std::fill(outside + past, outside + kKeysAtOnce, 0.0f);
    }
  }

  // dq += dS (scale · k). It is kept where it belongs while the blocks of keys go by.
  void add_to_queries(int64_t row, int64_t count, int64_t begin, int64_t end) {
    const int64_t head_dim = in_.head_dim, stride = padded_head_dim_;
    const bool is_first = first_key_ == round_down(in_.span.first_key(first_query_), kKeysAtOnce);
    if (begin >= end && !is_first) return;
    std::fill_n(dq_, count * stride, 0.0f);
    for (int64_t r = 0; r < count && !is_first; ++r)
      std::copy_n(in_.dq + query(row + r) * head_dim, head_dim, dq_ + r * stride);
    const MultiplyTile multiply = multiply_[static_cast<size_t>(count) - 1];
    for (int64_t d = 0; d < stride; d += kTileColumns)
      multiply(ds_ + row * kKeysAtOnce + begin, kKeysAtOnce, key_panels_ + d * num_keys_ + begin * kTileColumns,
               end - begin, true, dq_ + d, stride);
    for (int64_t r = 0; r < count; ++r) store_sums(dq_ + r * stride, head_dim, in_.dq + query(row + r) * head_dim);
  }

  // dk += dSᵀ (scale · q), dv += Pᵀ d_out: a micro-tile's keys, by the rows that see some of them.
  void add_to_keys() {
    for (int64_t j = 0; j < num_keys_; j += std::ssize(multiply_)) {
      const int64_t count = std::min<int64_t>(std::ssize(multiply_), num_keys_ - j), key = first_key_ + j;
      const int64_t first = std::max<int64_t>(key - first_query_, 0) * head_.group;
      const int64_t end = std::min(in_.span.end_query(key + count - 1) - first_query_, positions_) * head_.group;
      const int64_t depth = std::min(end, rows_) - first;
      if (depth <= 0) continue;
      const MultiplyTile multiply = multiply_by_depth_[static_cast<size_t>(count) - 1];
      for (int64_t d = 0; d < padded_value_dim_; d += kTileColumns)
        multiply(p_ + first * kKeysAtOnce + j, kKeysAtOnce, d_out_panels_ + d * rows_ + first * kTileColumns, depth,
                 true, dv_ + j * padded_value_dim_ + d, padded_value_dim_);
      for (int64_t d = 0; d < padded_head_dim_; d += kTileColumns)
        multiply(ds_ + first * kKeysAtOnce + j, kKeysAtOnce, q_panels_ + d * rows_ + first * kTileColumns, depth, true,
                 dk_ + j * padded_head_dim_ + d, padded_head_dim_);
    }
  }

  void store_keys() const {
    for (int64_t j = 0; j < num_keys_; ++j) {
      const int64_t n = head_.key(first_key_ + j);
      store_sums(dk_ + j * padded_head_dim_, in_.head_dim, in_.dk + n * in_.head_dim);
      store_sums(dv_ + j * padded_value_dim_, in_.value_dim, in_.dv + n * in_.value_dim);
    }
  }

  const std::span<const MultiplyTile> multiply_ = multiply_tiles(),
                                      multiply_by_depth_ = multiply_tiles(LeftOperand::by_depth);
  const BackwardTask task_;
  const RecordHead head_;
  const BackwardArguments in_;
  const int64_t padded_head_dim_, padded_value_dim_, positions_;
  int64_t first_key_ = 0, num_keys_ = 0, first_query_ = 0, rows_ = 0;
  float *q_, *d_out_, *lse_, *delta_, *q_panels_, *d_out_panels_, *keys_, *values_, *key_panels_, *p_, *ds_, *dq_, *dk_,
      *dv_;
};

/// Of queries [first, end), how many keys each sees, together.
int64_t keys_seen(const KeySpan& span, int64_t first, int64_t end) {
  int64_t pairs = 0;
  for (int64_t t = first; t < end; ++t) pairs += t + 1 - span.first_key(t);
  return pairs;
}

/// Of keys [first, end) of a record, how many queries see each, together.
int64_t queries_seeing(const KeySpan& span, int64_t first, int64_t end, int64_t length) {
  int64_t pairs = 0;
  for (int64_t s = first; s < end; ++s) pairs += std::min(span.end_query(s), length) - s;
  return pairs;
}

/// What a task's products cost for a pair of query and key: all five; those for dq; those for dk and dv, to which
/// scores and d_out vᵀ belong too.
constexpr int64_t kAllProducts = 5, kProductsOfDq = 3, kProductsOfKeys = 4;

void add_parts(const RecordHead& head, int64_t length, const KeySpan& span, int64_t positions,
               std::vector<BackwardTask>& tasks) {
  constexpr int64_t kQueryBlocks = 4;  // for which keys are packed at once
  for (int64_t first = 0; first < length; first += kQueryBlocks * positions) {
    const int64_t end = std::min(first + kQueryBlocks * positions, length);
    tasks.push_back({head, first, end, round_down(span.first_key(first), kKeysAtOnce), end, true, false,
                     kProductsOfDq * keys_seen(span, first, end)});
  }
  for (int64_t first = 0; first < length; first += kKeysAtOnce) {
    const int64_t end = std::min(first + kKeysAtOnce, length);
    tasks.push_back(
        {head, 0, length, first, end, false, true, kProductsOfKeys * queries_seeing(span, first, end, length)});
  }
}

/// One task for each record and key-value head; but where the others would wait for it, one for every few blocks of
/// queries (dq) and one for each block of keys (dk, dv), which compute scores twice, and the same bits. The costliest
/// first.
std::vector<BackwardTask> make_tasks(std::span<const int64_t> offsets, int64_t kv_heads, int64_t group,
                                     const KeySpan& span, int64_t positions, int64_t num_threads) {
  std::vector<int64_t> pairs;
  for (size_t r = 0; r + 1 < offsets.size(); ++r) pairs.push_back(keys_seen(span, 0, offsets[r + 1] - offsets[r]));
  const int64_t all_pairs = kv_heads * std::accumulate(pairs.begin(), pairs.end(), int64_t{0});
  std::vector<BackwardTask> tasks;
  for (size_t r = 0; r < pairs.size(); ++r) {
    const int64_t length = offsets[r + 1] - offsets[r];
    const bool whole = num_threads * kAllProducts * pairs[r] <= (kProductsOfDq + kProductsOfKeys) * all_pairs;
    for (int64_t h = 0; h < kv_heads && length > 0; ++h) {
      const RecordHead head{offsets[r], h, kv_heads, group};
      if (whole)
        tasks.push_back({head, 0, length, 0, length, true, true, kAllProducts * pairs[r]});
      else
        add_parts(head, length, span, positions, tasks);
    }
  }
  std::stable_sort(tasks.begin(), tasks.end(),
                   [](const BackwardTask& a, const BackwardTask& b) { return a.cost > b.cost; });
  return tasks;
}

}  // namespace

namespace cpu {

size_t attention_backward_bytes(ConstView q, ConstView k, ConstView v, ConstView, const KeySpan&, ConstView, float,
                                ConstView, ConstView, ConstView, View, View, View) {
  return AttentionBackwardScratch(q.shape[1] / k.shape[1], q.shape[2], v.shape[2]).layout.bytes();
}

void attention_backward(const Stream& stream, ConstView q, ConstView k, ConstView v, ConstView record_offsets,
                        const KeySpan& span, ConstView sinks, float scale, ConstView out, ConstView lse,
                        ConstView d_out, View dq, View dk, View dv) {
  check_attention(q, k, v, span, sinks, lse, out);
  SWITCHYARD_CHECK(lse.data != nullptr || q.rows() == 0, "attention_backward: no lse");
  SWITCHYARD_CHECK(d_out.shape == out.shape && dq.shape == q.shape && dk.shape == k.shape && dv.shape == v.shape,
                   "attention_backward: q {}, k {}, v {}, d_out {}, dq {}, dk {}, dv {}", q.shape.str(), k.shape.str(),
                   v.shape.str(), d_out.shape.str(), dq.shape.str(), dk.shape.str(), dv.shape.str());
  const int64_t kv_heads = k.shape[1], group = q.shape[1] / kv_heads;
  const AttentionBackwardScratch scratch(group, q.shape[2], v.shape[2]);
  const std::vector<BackwardTask> tasks = make_tasks(checked_offsets(record_offsets, q.rows()), kv_heads, group, span,
                                                     scratch.positions, stream.pool->num_threads());
  const BackwardArguments in{q.as<float>(),   k.as<float>(),   v.as<float>(),     span,           scale,
                             out.as<float>(), lse.as<float>(), d_out.as<float>(), dq.as<float>(), dk.as<float>(),
                             dv.as<float>(),  q.shape[2],      v.shape[2]};
  stream.parallel_for(static_cast<int64_t>(tasks.size()),
                      [&](int64_t i, int) { Blocks(tasks[static_cast<size_t>(i)], in, scratch).run(); });
}

}  // namespace cpu
}  // namespace switchyard
