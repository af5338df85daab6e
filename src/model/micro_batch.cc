#include "model/micro_batch.h"

#include <algorithm>
#include <vector>

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
  records_.offsets = on_device(stream, arena, view_of<int64_t>(offsets_));
  records_.positions = on_device(stream, arena, view_of(part(batch.positions, first, x.rows())));
  embedding(stream, on_device(stream, arena, view_of(part(batch.ids, first, x.rows()))), weights.embed.view(), x_);
}

void MicroBatch::attend(const Stream& stream, const AttentionConfig& c, const AttentionWeights& w,
                        const PositionTables& tables) {
  attention_layer(stream, arena_, c, w, static_cast<float>(weights_.config.rms_norm_eps), weights_.operand, records_,
                  tables, x_);
}

/// x += ffn(norm(x)): a mixture of experts, or one dense SwiGLU.
void MicroBatch::route(const Stream& stream, const LayerConfig& c, const LayerWeights& w, int layer) {
  const MoeConfig* moe = c.moe();
  FeedForward& block = feed_forward_.emplace(arena_);
  layer_ = static_cast<size_t>(layer);
  const auto eps = static_cast<float>(weights_.config.rms_norm_eps);
  const bool twice = moe != nullptr && weights_.operand != DType::f32;  // the router takes f32
  const View rounded = arena_.alloc(x_.shape, weights_.operand),
             u = twice ? arena_.alloc(x_.shape, DType::f32) : rounded;
  if (twice)
    rms_norm_rounded(stream, x_, w.ffn_norm.view(), eps, u, rounded);
  else
    rms_norm(stream, x_, w.ffn_norm.view(), eps, u);
  if (moe != nullptr) {
    block.moe.emplace(stream_, arena_, *moe, w, layer, exchange_, u, rounded, x_);
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
  stream_.at_layer(layer_);
  feed_forward_->moe->finish();
  feed_forward_.reset();
}

void MicroBatch::poll() {
  if (feed_forward_ && feed_forward_->moe) feed_forward_->moe->poll();
}

}  // namespace switchyard
