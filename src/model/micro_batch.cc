#include "model/micro_batch.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/attention/rope.h"
#include "kernels/products/gemm.h"
#include "kernels/rows/rms_norm.h"
#include "kernels/vocabulary/embedding.h"

namespace switchyard {
namespace {

int64_t offset_of(const Batch& batch, int64_t record) {
  return batch.record_offsets[static_cast<size_t>(record)];
}

std::span<const int32_t> part(const std::vector<int32_t>& list, int64_t first, int64_t count) {
  return std::span(list).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
}

}  // namespace

MicroBatch::MicroBatch(const Stream& stream, Arena& arena, const ModelWeights& weights, Exchange& exchange,
                       const Batch& batch, int64_t first_record, int64_t num_records, View x)
    : stream_(stream), arena_(arena), weights_(weights), exchange_(exchange), x_(x) {
  const int64_t first = offset_of(batch, first_record);
  for (int64_t r = 0; r <= num_records; ++r) offsets_.push_back(offset_of(batch, first_record + r) - first);
  SWITCHYARD_CHECK(x.rows() == offsets_.back(), "residual stream {} for {} tokens", x.shape.str(), offsets_.back());
  record_offsets_ = on_device(stream, arena, view_of<int64_t>(offsets_));
  positions_ = on_device(stream, arena, view_of(part(batch.positions, first, x.rows())));
  embedding(stream, on_device(stream, arena, view_of(part(batch.ids, first, x.rows()))), weights.embed.view(), x_);
}

/// x += O(attention(rope(norm(Q u)), rope(norm(K u)), V u)), u = norm(x)
void MicroBatch::attend(const Stream& stream, const AttentionConfig& c, const AttentionWeights& w, ConstView cos_sin) {
  const ArenaScope scope(arena_);
  const auto eps = static_cast<float>(weights_.config.rms_norm_eps);
  const int64_t tokens = x_.rows(), hd = c.head_dim;
  View u = arena_.alloc(x_.shape, weights_.operand);
  View q = arena_.alloc({tokens, c.query_size()}, DType::f32);
  View k = arena_.alloc({tokens, c.kv_size()}, DType::f32);
  View v = arena_.alloc({tokens, c.kv_size()}, DType::f32);
  View context = arena_.alloc({tokens, c.query_size()}, weights_.operand);

  rms_norm(stream, x_, w.norm.view(), eps, u);
  gemm(stream, u, w.q, GemmOutput::store, q);
  gemm(stream, u, w.k, GemmOutput::store, k);
  gemm(stream, u, w.v, GemmOutput::store, v);
  if (c.qk_norm) {
    const View q_heads = q.reshaped({tokens * c.num_heads, hd}), k_heads = k.reshaped({tokens * c.num_kv_heads, hd});
    rms_norm(stream, q_heads, w.q_norm.view(), eps, q_heads);
    rms_norm(stream, k_heads, w.k_norm.view(), eps, k_heads);
  }
  const Shape q_shape{tokens, c.num_heads, hd}, kv_shape{tokens, c.num_kv_heads, hd};
  rope(stream, positions_, cos_sin, RotaryPairs::halves, 0, q.reshaped(q_shape));
  rope(stream, positions_, cos_sin, RotaryPairs::halves, 0, k.reshaped(kv_shape));
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(hd)));
  attention(stream, q.reshaped(q_shape), k.reshaped(kv_shape), v.reshaped(kv_shape), record_offsets_, KeySpan{}, {},
            scale, context.reshaped(q_shape));
  gemm(stream, context, w.o, GemmOutput::add, x_);
}

/// x += ffn(norm(x)): a mixture of experts, or one dense SwiGLU.
void MicroBatch::route(const Stream& stream, const LayerConfig& c, const LayerWeights& w, int layer) {
  const MoeConfig* moe = c.moe();
  FeedForward& block = feed_forward_.emplace(arena_);
  View u = arena_.alloc(x_.shape, moe != nullptr ? DType::f32 : weights_.operand);
  rms_norm(stream, x_, w.ffn_norm.view(), static_cast<float>(weights_.config.rms_norm_eps), u);
  if (moe != nullptr) {
    block.moe.emplace(stream_, arena_, *moe, w, layer, exchange_, u, x_);
  } else {
    add_ffn(stream, arena_, w.dense, u, x_);
    feed_forward_.reset();
  }
}

void MicroBatch::begin() {
  if (feed_forward_) feed_forward_->moe->begin();
}

void MicroBatch::finish() {
  if (!feed_forward_) return;
  feed_forward_->moe->finish();
  feed_forward_.reset();
}

void MicroBatch::poll() {
  if (feed_forward_ && feed_forward_->moe) feed_forward_->moe->poll();
}

}  // namespace switchyard
