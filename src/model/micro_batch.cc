#include "model/micro_batch.h"

#include <algorithm>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/rows/rms_norm.h"
#include "kernels/vocabulary/embedding.h"
#include "model/linear.h"

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

/// x += O attention(q, k, v), which are of norm(x)
void MicroBatch::attend(const Stream& stream, const AttentionConfig& c, const AttentionWeights& w,
                        const PositionTables& tables) {
  const ArenaScope scope(arena_);
  const auto eps = static_cast<float>(weights_.config.rms_norm_eps);
  const int64_t tokens = x_.rows();
  View u = arena_.alloc(x_.shape, weights_.operand);
  rms_norm(stream, x_, w.norm.view(), eps, u);
  const auto [q, k, v] = attention_heads(stream, arena_, c, w, eps, u, positions_, tables);
  View context = arena_.alloc({tokens, c.output_size()}, weights_.operand);
  attention(stream, q, k, v, record_offsets_, c.span, w.sinks.view(), static_cast<float>(c.scale),
            context.reshaped({tokens, c.num_heads, c.value_dim}));
  linear(stream, context, w.o, GemmOutput::add, x_);
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
    add_ffn(stream, arena_, w.dense, {}, u, x_);
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
