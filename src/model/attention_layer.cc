#include "model/attention_layer.h"

#include "kernels/attention/attention.h"
#include "kernels/rows/rms_norm.h"
#include "model/attention_heads.h"
#include "model/linear.h"

namespace switchyard {

void attention_layer(const Stream& stream, Arena& arena, const AttentionConfig& c, const AttentionWeights& w,
                     float rms_norm_eps, DType operand, const RecordsView& records, const PositionTables& tables,
                     View x) {
  const ArenaScope scope(arena);
  const int64_t tokens = x.rows();
  View u = arena.alloc(x.shape, operand);
  rms_norm(stream, x, w.norm.view(), rms_norm_eps, u);
  const auto [q, k, v] = attention_heads(stream, arena, c, w, rms_norm_eps, u, records.positions, tables);
  View context = arena.alloc({tokens, c.output_size()}, operand);
  attention(stream, q, k, v, records.offsets, c.span, w.sinks.view(), static_cast<float>(c.scale), {},
            context.reshaped({tokens, c.num_heads, c.value_dim}));
  linear(stream, context, w.o, GemmOutput::add, x);
}

}  // namespace switchyard
