#include "kernels/attention/attention.h"
#include "kernels/attention/rope.h"
#include "kernels/rows/rms_norm.h"
#include "model/linear.h"
#include "train/backward.h"

namespace switchyard {
namespace {

/// One kind of heads, queries or keys, on its way to attention.
class Heads {
 public:
  Heads(const BackwardPass& pass, const AttentionConfig& c, ConstView positions, const PositionTables& tables,
        int64_t num_heads)
      : pass_(pass), c_(c), positions_(positions), cos_sin_(tables.cos_sin), num_heads_(num_heads) {}

  /// Of the normed states u: W u, normed and turned as the model does it.
  View forward(ConstView u, const Linear& w, const OwnedTensor& norm) {
    const Shape shape{u.rows(), num_heads_, c_.head_dim};
    product_ = pass_.arena.alloc(shape, DType::f32);
    linear(pass_.stream, u, w, GemmOutput::store, product_.reshaped({u.rows(), num_heads_ * c_.head_dim}));
    View turned = product_;
    if (c_.qk_norm == QkNorm::before_rotary) {
      turned = pass_.arena.alloc(shape, DType::f32);
      rms_norm(pass_.stream, by_head(product_), norm.view(), pass_.eps(), by_head(turned));
    }
    if (cos_sin_.rows() > 0) rope(pass_.stream, positions_, cos_sin_, c_.rotary.pairs, c_.rotary.first, turned);
    return turned;
  }

  /// d: the gradient of forward()'s result; afterwards that of the product. rows: of tokens.
  void backward(View d, const OwnedTensor& norm, const SlicedRows& rows, const BlockGradient& sums) const {
    if (cos_sin_.rows() > 0) rope_backward(pass_.stream, positions_, cos_sin_, c_.rotary.pairs, c_.rotary.first, d);
    if (c_.qk_norm != QkNorm::before_rotary) return;
    const ArenaScope scope(pass_.arena);
    std::vector<int64_t> offsets(rows.offsets.begin(), rows.offsets.end());
    for (int64_t& offset : offsets) offset *= num_heads_;
    const View inverse_rms = pass_.arena.alloc({d.rows() * num_heads_}, DType::f32);
    rms_norm_backward(pass_.stream, by_head(product_), norm.view(), pass_.eps(), by_head(d), {rows.slices, offsets},
                      GemmOutput::store, inverse_rms, by_head(d), sums.of(&norm));
  }

 private:
  View by_head(View heads) const { return heads.reshaped({heads.rows() * num_heads_, c_.head_dim}); }

  const BackwardPass& pass_;
  const AttentionConfig& c_;
  const ConstView positions_, cos_sin_;
  const int64_t num_heads_;
  View product_;
};

/// A piece of the batch: x += O attention(q, k, v), which are of norm(x).
void backward_piece(const BackwardPass& pass, const StepBatch::Piece& piece, const AttentionConfig& c,
                    const AttentionWeights& w, const AttentionWeights& transposes, const PositionTables& tables,
                    const LayerTape& tape, const BlockGradient& sums, View all_dx) {
  const ArenaScope scope(pass.arena);
  const Stream& stream = pass.stream;
  Arena& arena = pass.arena;
  const int64_t tokens = piece.tokens;
  const ConstView x = ConstView(tape.x).slice(piece.first_token, tokens);
  const View dx = all_dx.slice(piece.first_token, tokens);
  const std::vector<int64_t> offsets = pass.batch.token_offsets(piece);
  const SlicedRows rows{piece.slices, offsets};
  const std::vector<int64_t> records = pass.batch.record_offsets(piece);
  const ConstView record_offsets = view_of<int64_t>(records),
                  positions = pass.positions.slice(piece.first_token, tokens);

  // Forward, once more.
  const View u = arena.alloc(x.shape, pass.operand());
  rms_norm(stream, x, w.norm.view(), pass.eps(), u);
  Heads queries(pass, c, positions, tables, c.num_heads), keys(pass, c, positions, tables, c.num_kv_heads);
  const View q = queries.forward(u, w.q, w.q_norm), k = keys.forward(u, w.k, w.k_norm);
  const View v = arena.alloc({tokens, c.num_kv_heads, c.value_dim}, DType::f32);
  linear(stream, u, w.v, GemmOutput::store, v.reshaped({tokens, c.value_size()}));
  const View context = arena.alloc({tokens, c.num_heads, c.value_dim}, DType::f32);
  attention(stream, q, k, v, record_offsets, c.span, w.sinks.view(), static_cast<float>(c.scale), {}, context);

  // Backward.
  const View d_context = arena.alloc(context.shape, DType::f32);
  const Shape flat{tokens, c.output_size()};
  backward_linear(pass, w.o, transposes.o, as_operand(stream, arena, context.reshaped(flat), pass.operand()), dx, rows,
                  sums, GemmOutput::store, d_context.reshaped(flat));
  const View dq = arena.alloc(q.shape, DType::f32), dk = arena.alloc(k.shape, DType::f32),
             dv = arena.alloc(v.shape, DType::f32);
  attention_backward(stream, q, k, v, record_offsets, c.span, w.sinks.view(), static_cast<float>(c.scale), context,
                     ConstView(tape.lse).slice(piece.first_token, tokens), d_context, dq, dk, dv);
  queries.backward(dq, w.q_norm, rows, sums);
  keys.backward(dk, w.k_norm, rows, sums);
  const View du = arena.alloc(x.shape, DType::f32);
  backward_linear(pass, w.q, transposes.q, u, dq.reshaped({tokens, c.query_size()}), rows, sums, GemmOutput::store, du);
  backward_linear(pass, w.k, transposes.k, u, dk.reshaped({tokens, c.key_size()}), rows, sums, GemmOutput::add, du);
  backward_linear(pass, w.v, transposes.v, u, dv.reshaped({tokens, c.value_size()}), rows, sums, GemmOutput::add, du);
  const View inverse_rms = arena.alloc({tokens}, DType::f32);
  rms_norm_backward(stream, x, w.norm.view(), pass.eps(), du, rows, GemmOutput::add, inverse_rms, dx, sums.of(&w.norm));
}

}  // namespace

void backward_attention(const BackwardPass& pass, size_t layer, const PositionTables& tables, const LayerTape& tape,
                        View dx) {
  const AttentionConfig& c = pass.config().layers[layer].attention;
  const AttentionWeights &w = pass.model.weights().layers[layer].attention,
                         &transposes = pass.model.transposes().layers[layer].attention;
  const ArenaScope scope(pass.arena);
  BlockGradient sums(pass.stream, pass.model,
                     pass.model.space().block_of(ParameterBlock::Kind::self_attention, static_cast<int64_t>(layer)));
  for (const StepBatch::Piece& piece : pass.pieces) {
    sums.begin(piece.slices);
    backward_piece(pass, piece, c, w, transposes, tables, tape, sums, dx);
    sums.commit();
  }
  sums.finish(pass.arena, pass.bytes_at_once);
}

}  // namespace switchyard
