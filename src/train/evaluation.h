// Held-out loss: what `score` would find of the same weights, the same bits.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "model/decoder.h"
#include "train/parameters/train_ranks.h"

namespace switchyard {

/// Records to evaluate on.
struct HeldOutRecords {
  std::vector<int64_t> lengths;  ///< tokens; each record has some that are scored
  /// Its tokens; returns its context, the leading ones that are not scored.
  std::function<int64_t(int64_t record, std::vector<int32_t>& tokens)> read;
};

struct HeldOutLoss {
  double log_probability = 0;  ///< natural, the sum over all that is scored: record by record, in order
  int64_t tokens = 0;          ///< that were scored

  double mean() const { return -log_probability / static_cast<double>(tokens); }
};

/// Each rank scores some of the records, at most batch_tokens at once (a longer record alone). Collective over the
/// world. decoder: of every rank's weights; its exchange is the ranks' groups'.
HeldOutLoss evaluate(const Stream& stream, Arena& arena, const Decoder& decoder, const TrainRanks& ranks,
                     const HeldOutRecords& records, int64_t batch_tokens, const std::function<void()>& poll);

}  // namespace switchyard
