// Some of a batch's records on their way through the layers. What one layer does to them reads like the paper; it comes
// in steps, so that the exchange of one micro-batch travels while another one computes (Decoder::forward).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/device.h"
#include "model/attention_layer.h"
#include "model/batch.h"
#include "model/moe_layer.h"
#include "model/weights.h"

namespace switchyard {

class MicroBatch {
 public:
  /// Embeds the records [first_record, first_record + num_records) of the batch in x, the residual stream: [their
  /// tokens, d] f32. stream: of all further steps; memory comes from the arena until the end.
  MicroBatch(const Stream& stream, Arena& arena, const ModelWeights& weights, Exchange& exchange, const Batch& batch,
             int64_t first_record, int64_t num_records, View x);

  /// The steps of a layer, in this order. `stream` polls what other micro-batches have under way.
  /// x += attention(norm(x)).
  void attend(const Stream& stream, const AttentionConfig& c, const AttentionWeights& w, const PositionTables& tables);
  /// Chooses experts for norm(x); a dense layer is done here. layer: its number in the model.
  void route(const Stream& stream, const LayerConfig& c, const LayerWeights& w, int layer);
  void begin();   ///< sends rows out, computes what is local
  void finish();  ///< x += what came back, which is the layer's time. Nothing when nothing is under way.
  void poll();

  View x() const { return x_; }

 private:
  /// What a layer's feed-forward block holds until finish().
  struct FeedForward {
    ArenaScope scope;
    std::optional<MoeCall> moe;
    explicit FeedForward(Arena& arena) : scope(arena) {}
  };

  const Stream stream_;
  Arena& arena_;
  const ModelWeights& weights_;
  Exchange& exchange_;
  const View x_;
  std::vector<int64_t> offsets_;  ///< [records + 1]
  RecordsView records_;
  std::optional<FeedForward> feed_forward_;
  size_t layer_ = 0;  ///< whose that is
};

}  // namespace switchyard
