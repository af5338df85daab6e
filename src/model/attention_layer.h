// A layer's attention, with its norm before and its product behind it.
#pragma once

#include "base/stream.h"
#include "model/position_tables.h"
#include "model/weights.h"

namespace switchyard {

/// Some records, laid end to end, in memory of the stream's device.
struct RecordsView {
  ConstView positions;  ///< [tokens] i32, within the record
  ConstView offsets;    ///< [records + 1] i64
};

/// x += O attention(q, k, v), which are of norm(x), made in the operand.   x: [tokens, d] f32
void attention_layer(const Stream& stream, Arena& arena, const AttentionConfig& c, const AttentionWeights& w,
                     float rms_norm_eps, DType operand, const RecordsView& records, const PositionTables& tables,
                     View x);

}  // namespace switchyard
