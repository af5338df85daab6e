#include "kernels/attention/attention.h"

#include "kernels/rows/rms_norm.h"
#include "model/linear.h"
#include "train/pass/projections.h"

namespace switchyard {
namespace {

/// One layer's attention, for some whole slices that go through it at once.
struct Piece {
  const StepPass& pass;
  const StepBatch::Piece& of_step;
  const AttentionConfig& c;
  const AttentionWeights &w, &transposes;
  const PositionTables& tables;
  const LayerTape& tape;
  std::vector<int64_t> records, offsets;  ///< of records and of slices, in the piece

  Piece(const StepPass& p, const StepBatch::Piece& piece, size_t layer, const PositionTables& position_tables,
        const LayerTape& layer_tape)
      : pass(p),
        of_step(piece),
        c(p.config().layers[layer].attention),
        w(p.model.weights().layers[layer].attention),
        transposes(p.model.transposes().layers[layer].attention),
        tables(position_tables),
        tape(layer_tape),
        records(p.batch.record_offsets(piece)),
        offsets(p.batch.token_offsets(piece)) {}

  int64_t tokens() const { return of_step.tokens; }
  template <class V>
  V rows(const V& of_tokens) const {
    return of_tokens.slice(of_step.first_token, of_step.tokens);
  }
  /// Of norm(x), which is in the arena.
  Projection projection() const {
    const View u = pass.arena.alloc({tokens(), tape.x.shape[1]}, pass.operand());
    rms_norm(pass.stream, rows(tape.x), w.norm.view(), pass.eps(), u);
    return {pass, c, w, transposes, tables, rows(pass.positions), u, pass.sliced(of_step.slices, offsets)};
  }
  /// Where its numbers are kept, or, for now, in the arena.
  AttentionTape numbers() const {
    return tape.attention.kept() ? tape.attention.slice(of_step.first_token, tokens())
                                 : AttentionTape(pass.arena, c, tokens());
  }
};

/// As attention takes them.
struct Attended {
  View q, k;
};

Attended finished(const Projection& p, const AttentionTape& numbers) {
  const View q = Heads(p, p.w.q_norm, true, numbers.q).finished();
  return {q, p.c.latent() == nullptr ? Heads(p, p.w.k_norm, false, numbers.k).finished() : numbers.k};
}

/// numbers.context, of the projections. lse: see attention(); no data: not wanted
Attended attend(const Piece& piece, const Projection& p, const AttentionTape& numbers, View lse) {
  project(p, numbers);
  const Attended a = finished(p, numbers);
  attention(p.pass.stream, a.q, a.k, numbers.v, view_of<int64_t>(piece.records), p.c.span, p.w.sinks.view(),
            static_cast<float>(p.c.scale), lse, numbers.context);
  return a;
}

/// The context as the product behind attention takes it: [tokens, heads · value_dim] operand
ConstView for_product(const Projection& p, View context) {
  return as_operand(p.pass.stream, p.pass.arena, context.reshaped({p.tokens(), p.c.output_size()}), p.pass.operand());
}

void forward_piece(const Piece& piece, View x) {
  const ArenaScope scope(piece.pass.arena);
  const AttentionTape numbers = piece.numbers();
  const Projection p = piece.projection();
  attend(piece, p, numbers, piece.rows(piece.tape.lse));
  linear(p.pass.stream, for_product(p, numbers.context), p.w.o, GemmOutput::add, x);
}

void backward_piece(const Piece& piece, const BlockGradient& sums, View dx) {
  const ArenaScope scope(piece.pass.arena);
  const StepPass& pass = piece.pass;
  Arena& arena = pass.arena;
  const AttentionConfig& c = piece.c;
  const AttentionTape numbers = piece.numbers();
  const Projection p = piece.projection();
  const Attended a = piece.tape.attention.kept() ? finished(p, numbers) : attend(piece, p, numbers, {});
  const ConstView lse = piece.rows(piece.tape.lse);

  const View d_context = arena.alloc(numbers.context.shape, DType::f32);
  backward_linear(pass, p.w.o, p.transposes.o, for_product(p, numbers.context), dx, p.rows, sums, GemmOutput::store,
                  d_context.reshaped({p.tokens(), c.output_size()}));
  const View dq = arena.alloc(a.q.shape, DType::f32), dk = arena.alloc(a.k.shape, DType::f32),
             dv = arena.alloc(numbers.v.shape, DType::f32);
  attention_backward(pass.stream, a.q, a.k, numbers.v, view_of<int64_t>(piece.records), c.span, p.w.sinks.view(),
                     static_cast<float>(c.scale), numbers.context, lse, d_context, dq, dk, dv);
  if (c.sinks) {
    const View d_sinks = arena.alloc(lse.shape, DType::f32);
    attention_sinks_backward(pass.stream, p.w.sinks.view(), numbers.context, lse, d_context, d_sinks);
    sum_columns(pass, d_sinks, p.rows, sums.of(&p.w.sinks));
  }
  const View du = arena.alloc(dx.shape, DType::f32);
  project_backward(p, numbers, dq, dk, dv, sums, du);
  const View inverse_rms = arena.alloc({p.tokens()}, DType::f32);
  rms_norm_backward(pass.stream, piece.rows(piece.tape.x), p.w.norm.view(), pass.eps(), du, p.rows, GemmOutput::add,
                    inverse_rms, dx, sums.of(&p.w.norm));
}

}  // namespace

AttentionTape::AttentionTape(Arena& arena, const AttentionConfig& c, int64_t tokens)
    : q(arena.alloc({tokens, c.num_heads, c.head_dim}, DType::f32)),
      k(arena.alloc({tokens, c.num_kv_heads, c.head_dim}, DType::f32)),
      v(arena.alloc({tokens, c.num_kv_heads, c.value_dim}, DType::f32)),
      context(arena.alloc({tokens, c.num_heads, c.value_dim}, DType::f32)) {}

AttentionTape AttentionTape::slice(int64_t first, int64_t count) const {
  AttentionTape part;
  part.q = q.slice(first, count);
  part.k = k.slice(first, count);
  part.v = v.slice(first, count);
  part.context = context.slice(first, count);
  return part;
}

void forward_attention(const StepPass& pass, size_t layer, const PositionTables& tables, const LayerTape& tape,
                       View x) {
  for (const StepBatch::Piece& of_step : pass.pieces) {
    const Piece piece(pass, of_step, layer, tables, tape);
    forward_piece(piece, piece.rows(x));
  }
}

void backward_attention(const StepPass& pass, size_t layer, const PositionTables& tables, const LayerTape& tape,
                        View dx) {
  const ArenaScope scope(pass.arena);
  BlockGradient sums(pass.stream, pass.model,
                     pass.model.space().block_of(ParameterBlock::Kind::self_attention, static_cast<int64_t>(layer)));
  for (const StepBatch::Piece& of_step : pass.pieces) {
    const Piece piece(pass, of_step, layer, tables, tape);
    if (sums.is_wanted()) sums.begin(of_step.slices);
    backward_piece(piece, sums, piece.rows(dx));
    if (sums.is_wanted()) sums.commit();
  }
  if (sums.is_wanted()) sums.finish(pass.arena, pass.bytes_at_once);
}

}  // namespace switchyard
