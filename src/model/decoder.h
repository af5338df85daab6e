// The forward pass. A newcomer starts here: forward() reads like the paper.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <vector>

#include "base/stream.h"
#include "exchange/exchange.h"
#include "model/batch.h"
#include "model/micro_batch.h"
#include "model/position_tables.h"
#include "model/weights.h"

namespace switchyard {

/// What the decoder may be asked to do at once, fixed beforehand so that its memory is.
struct DecoderLimits {
  int64_t max_tokens = 0;  ///< of a batch
  int64_t max_record = 0;  ///< tokens of the longest record
  int micro_batches = 1;   ///< 1, or 2: the exchange of one half travels while the other half computes
  bool logits = false;     ///< whether logits() is

  /// Tokens of a micro-batch, at most: records are not cut.
  int64_t part_tokens() const { return std::min(max_tokens, max_tokens / micro_batches + max_record); }
};

/// The last layer's log-probabilities of the rows asked for.
struct TokenScores {
  std::vector<float> logprob;
  std::vector<int32_t> argmax;
};

class Decoder {
 public:
  /// The ranks of the exchange's group share the experts; all of them call forward() together, with or without tokens.
  /// stream: of the weights' device, which all later streams must be of.
  Decoder(const Stream& stream, const ModelWeights& weights, Exchange& exchange, const DecoderLimits& limits);

  /// Final-norm states [tokens, d] f32, in the arena until its release. memory_plan.h tells how large an arena it and
  /// score() need.
  View forward(const Stream& stream, Arena& arena, const Batch& batch) const;

  /// log p(target[i] | the record up to row[i]) for rows of `states`. row, target: [rows]
  TokenScores score(const Stream& stream, Arena& arena, ConstView states, std::span<const int32_t> row,
                    std::span<const int32_t> target) const;

  /// The logits that score() takes the log-probabilities of: visit(i, logits [vocabulary]) on the host, for each row[i]
  /// of `states` in order.
  void logits(const Stream& stream, Arena& arena, ConstView states, std::span<const int32_t> row,
              const std::function<void(size_t, std::span<const float>)>& visit) const;

 private:
  View inputs_of_head(const Stream& stream, Arena& arena, ConstView states, std::span<const int32_t> row) const;
  std::vector<int64_t> cut_records(const Batch& batch) const;
  void through_layers(const Stream& stream, std::deque<MicroBatch>& parts) const;
  size_t measure_part(const Stream& stream) const;

  const ModelWeights& weights_;
  Exchange& exchange_;
  const DecoderLimits limits_;
  const ModelPositionTables positions_;
  size_t part_bytes_ = 0;  ///< arena of each of several micro-batches
};

}  // namespace switchyard
