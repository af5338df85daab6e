#include "kernels/attention/attention.h"

#include "kernels/attention/rope.h"
#include "kernels/rows/rms_norm.h"
#include "model/linear.h"
#include "train/layer_pass.h"

namespace switchyard {
namespace {

/// One kind of heads, queries or keys, on its way to attention.
class Heads {
 public:
  /// product: [tokens, heads, head_dim] f32
  Heads(const StepPass& pass, const AttentionConfig& c, ConstView positions, const PositionTables& tables, View product)
      : pass_(pass), c_(c), positions_(positions), cos_sin_(tables.cos_sin), product_(product) {}

  /// Of the normed states u. Turned already where they are not normed in between.
  void multiply(ConstView u, const Linear& w) const {
    linear(pass_.stream, u, w, GemmOutput::store, product_.reshaped({u.rows(), w.weight.n()}));
    if (!normed()) turn(product_);
  }

  /// As attention takes them: normed and turned as the model does it.
  View turned(const OwnedTensor& norm) const {
    if (!normed()) return product_;
    const View heads = pass_.arena.alloc(product_.shape, DType::f32);
    rms_norm(pass_.stream, by_head(product_), norm.view(), pass_.eps(), by_head(heads));
    turn(heads);
    return heads;
  }

  /// d: the gradient of turned()'s result; afterwards that of the product. rows: of tokens.
  void backward(View d, const OwnedTensor& norm, const SlicedRows& rows, const BlockGradient& sums) const {
    if (cos_sin_.rows() > 0) rope_backward(pass_.stream, positions_, cos_sin_, c_.rotary.pairs, c_.rotary.first, d);
    if (!normed()) return;
    const ArenaScope scope(pass_.arena);
    std::vector<int64_t> offsets(rows.offsets.begin(), rows.offsets.end());
    for (int64_t& offset : offsets) offset *= product_.shape[1];
    const View inverse_rms = pass_.arena.alloc({by_head(d).rows()}, DType::f32);
    rms_norm_backward(pass_.stream, by_head(product_), norm.view(), pass_.eps(), by_head(d), {rows.slices, offsets},
                      GemmOutput::store, inverse_rms, by_head(d), sums.of(&norm));
  }

 private:
  bool normed() const { return c_.qk_norm == QkNorm::before_rotary; }
  void turn(View heads) const {
    if (cos_sin_.rows() > 0) rope(pass_.stream, positions_, cos_sin_, c_.rotary.pairs, c_.rotary.first, heads);
  }
  static View by_head(View heads) { return heads.reshaped({heads.rows() * heads.shape[1], heads.shape[2]}); }

  const StepPass& pass_;
  const AttentionConfig& c_;
  const ConstView positions_, cos_sin_;
  const View product_;
};

/// One layer's attention, for some whole slices that go through it at once.
struct Piece {
  const StepPass& pass;
  const StepBatch::Piece& of_step;
  const AttentionConfig& c;
  const AttentionWeights& w;
  const PositionTables& tables;
  const LayerTape& tape;

  int64_t tokens() const { return of_step.tokens; }
  template <class V>
  V rows(const V& of_tokens) const {
    return of_tokens.slice(of_step.first_token, of_step.tokens);
  }
};

/// What both ways need of context = attention(q, k, v), which are of u = norm(x).
struct Attended {
  View u;
  Heads queries, keys;
  View q = {}, k = {}, v, context;
  std::vector<int64_t> records;
};

/// there: the tape has q, k, v and context already. lse: see attention(); no data: not wanted
Attended attend(const Piece& p, bool there, View lse) {
  const Stream& stream = p.pass.stream;
  Arena& arena = p.pass.arena;
  const AttentionTape numbers = p.tape.attention.kept() ? p.tape.attention.slice(p.of_step.first_token, p.tokens())
                                                        : AttentionTape(arena, p.c, p.tokens());
  const ConstView positions = p.rows(p.pass.positions);
  Attended a{.u = arena.alloc({p.tokens(), p.tape.x.shape[1]}, p.pass.operand()),
             .queries = {p.pass, p.c, positions, p.tables, numbers.q},
             .keys = {p.pass, p.c, positions, p.tables, numbers.k},
             .v = numbers.v,
             .context = numbers.context,
             .records = p.pass.batch.record_offsets(p.of_step)};
  rms_norm(stream, p.rows(p.tape.x), p.w.norm.view(), p.pass.eps(), a.u);
  if (!there) {
    a.queries.multiply(a.u, p.w.q);
    a.keys.multiply(a.u, p.w.k);
    linear(stream, a.u, p.w.v, GemmOutput::store, a.v.reshaped({p.tokens(), p.c.value_size()}));
  }
  a.q = a.queries.turned(p.w.q_norm);
  a.k = a.keys.turned(p.w.k_norm);
  if (!there)
    attention(stream, a.q, a.k, a.v, view_of<int64_t>(a.records), p.c.span, p.w.sinks.view(),
              static_cast<float>(p.c.scale), lse, a.context);
  return a;
}

/// The context as the product behind attention takes it: [tokens, heads · value_dim] operand
ConstView for_product(const Piece& p, View context) {
  return as_operand(p.pass.stream, p.pass.arena, context.reshaped({p.tokens(), p.c.output_size()}), p.pass.operand());
}

void forward_piece(const Piece& p, View x) {
  const ArenaScope scope(p.pass.arena);
  const Attended a = attend(p, false, p.rows(p.tape.lse));
  linear(p.pass.stream, for_product(p, a.context), p.w.o, GemmOutput::add, x);
}

void backward_piece(const Piece& p, const AttentionWeights& transposes, const BlockGradient& sums, View dx) {
  const ArenaScope scope(p.pass.arena);
  const StepPass& pass = p.pass;
  Arena& arena = pass.arena;
  const AttentionConfig& c = p.c;
  const std::vector<int64_t> offsets = pass.batch.token_offsets(p.of_step);
  const SlicedRows rows{p.of_step.slices, offsets};
  const Attended a = attend(p, p.tape.attention.kept(), {});

  const View d_context = arena.alloc(a.context.shape, DType::f32);
  backward_linear(pass, p.w.o, transposes.o, for_product(p, a.context), dx, rows, sums, GemmOutput::store,
                  d_context.reshaped({p.tokens(), c.output_size()}));
  const View dq = arena.alloc(a.q.shape, DType::f32), dk = arena.alloc(a.k.shape, DType::f32),
             dv = arena.alloc(a.v.shape, DType::f32);
  attention_backward(pass.stream, a.q, a.k, a.v, view_of<int64_t>(a.records), c.span, p.w.sinks.view(),
                     static_cast<float>(c.scale), a.context, p.rows(p.tape.lse), d_context, dq, dk, dv);
  a.queries.backward(dq, p.w.q_norm, rows, sums);
  a.keys.backward(dk, p.w.k_norm, rows, sums);
  const View du = arena.alloc(dx.shape, DType::f32);
  const auto through = [&](const Linear& w, const Linear& transpose, View d, GemmOutput output) {
    backward_linear(pass, w, transpose, a.u, d.reshaped({p.tokens(), w.weight.n()}), rows, sums, output, du);
  };
  through(p.w.q, transposes.q, dq, GemmOutput::store);
  through(p.w.k, transposes.k, dk, GemmOutput::add);
  through(p.w.v, transposes.v, dv, GemmOutput::add);
  const View inverse_rms = arena.alloc({p.tokens()}, DType::f32);
  rms_norm_backward(pass.stream, p.rows(p.tape.x), p.w.norm.view(), pass.eps(), du, rows, GemmOutput::add, inverse_rms,
                    dx, sums.of(&p.w.norm));
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
  const AttentionConfig& c = pass.config().layers[layer].attention;
  const AttentionWeights& w = pass.model.weights().layers[layer].attention;
  for (const StepBatch::Piece& piece : pass.pieces) {
    const Piece p{pass, piece, c, w, tables, tape};
    forward_piece(p, p.rows(x));
  }
}

void backward_attention(const StepPass& pass, size_t layer, const PositionTables& tables, const LayerTape& tape,
                        View dx) {
  const AttentionConfig& c = pass.config().layers[layer].attention;
  const AttentionWeights &w = pass.model.weights().layers[layer].attention,
                         &transposes = pass.model.transposes().layers[layer].attention;
  const ArenaScope scope(pass.arena);
  BlockGradient sums(pass.stream, pass.model,
                     pass.model.space().block_of(ParameterBlock::Kind::self_attention, static_cast<int64_t>(layer)));
  for (const StepBatch::Piece& piece : pass.pieces) {
    const Piece p{pass, piece, c, w, tables, tape};
    sums.begin(piece.slices);
    backward_piece(p, transposes, sums, p.rows(dx));
    sums.commit();
  }
  sums.finish(pass.arena, pass.bytes_at_once);
}

}  // namespace switchyard
