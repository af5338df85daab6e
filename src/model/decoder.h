// The forward pass. A newcomer starts here: forward() reads like the paper.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/stream.h"
#include "comm/expert_exchange.h"
#include "model/moe_layer.h"
#include "model/weights.h"

namespace switchyard {

/// Records laid end to end, without padding. Every record starts at position 0.
struct Batch {
  std::vector<int32_t> ids;             ///< [tokens]
  std::vector<int32_t> positions;       ///< [tokens]
  std::vector<int64_t> record_offsets;  ///< [records + 1]

  Batch() : record_offsets{0} {}
  void add(std::span<const int32_t> record);
  void clear();
  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
  int64_t records() const { return static_cast<int64_t>(record_offsets.size()) - 1; }
};

/// What the decoder may be asked to do at once, fixed beforehand so that its memory is.
struct DecoderLimits {
  int64_t max_tokens = 0;  ///< of a batch
  int64_t max_record = 0;  ///< tokens of the longest record
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
  Decoder(const Stream& stream, const ModelWeights& weights, ExpertExchange& exchange, const DecoderLimits& limits);

  /// Final-norm states [tokens, d] f32, in the arena until its release.
  View forward(const Stream& stream, Arena& arena, const Batch& batch) const;

  /// log p(target[i] | the record up to row[i]) for rows of `states`. row, target: [rows]
  TokenScores score(const Stream& stream, Arena& arena, ConstView states, std::span<const int32_t> row,
                    std::span<const int32_t> target) const;

  /// Bytes of arena that forward() and score() of such batches use at most, given those of the exchange.
  static size_t arena_bytes(const ModelConfig& config, DType operand, const DecoderLimits& limits,
                            size_t exchange_bytes, Device device = Device::cpu);
  /// Bytes the decoder holds besides (the rotary table).
  static size_t table_bytes(const ModelConfig& config, const DecoderLimits& limits);

 private:
  /// A batch where the ops read it.
  struct Tokens {
    ConstView ids, positions, record_offsets;
  };
  void attend(const Stream& stream, Arena& arena, const AttentionWeights& w, const Tokens& tokens, View x) const;
  void feed_forward(const Stream& stream, Arena& arena, const LayerWeights& w, View x) const;

  const ModelWeights& weights_;
  ExpertExchange& exchange_;
  OwnedTensor cos_sin_;  ///< [max_record, head_dim]
};

}  // namespace switchyard
