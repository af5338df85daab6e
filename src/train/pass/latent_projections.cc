#include "kernels/attention/rope.h"
#include "kernels/rows/copy_columns.h"
#include "kernels/rows/rms_norm.h"
#include "model/attention_heads.h"
#include "model/linear.h"
#include "train/pass/projections.h"

namespace switchyard {
namespace {

/// A product of the normed states, and its norm, which others are products of.
struct Latent {
  View product;  ///< [tokens, rank] f32
  View normed;   ///< [tokens, rank] operand
};

View product_of(const Projection& p, const Linear& w) {
  const View y = p.pass.arena.alloc({p.tokens(), w.weight.n()}, DType::f32);
  linear(p.pass.stream, p.u, w, GemmOutput::store, y);
  return y;
}

View normed(const Projection& p, const OwnedTensor& weight, View product) {
  const View y = p.pass.arena.alloc(product.shape, p.pass.operand());
  rms_norm(p.pass.stream, product, weight.view(), kLatentEps, y);
  return y;
}

/// d: the gradient of the norm's result; afterwards that of the product.
void norm_backward(const Projection& p, const OwnedTensor& weight, View product, View d, const BlockGradient& sums) {
  const ArenaScope scope(p.pass.arena);
  rms_norm_backward(p.pass.stream, product, weight.view(), kLatentEps, d, p.rows, GemmOutput::store,
                    p.pass.arena.alloc({p.tokens()}, DType::f32), d, sums.of(&weight));
}

Latent queries_latent(const Projection& p) {
  const View product = product_of(p, p.w.q_latent);
  return {product, normed(p, p.w.q_latent_norm, product)};
}

/// The latent that keys and values are made of, and behind it the part of the keys that turns, the same in all heads.
struct Shared {
  View all;  ///< [tokens, kv_rank + turned] f32
  Latent latent;
};

Shared shared_of(const Projection& p) {
  const int64_t kv_rank = p.c.latent()->kv_rank;
  Shared shared{product_of(p, p.w.kv_latent), {}};
  shared.latent.product = p.pass.arena.alloc({p.tokens(), kv_rank}, DType::f32);
  copy_columns(p.pass.stream, shared.all, 0, kv_rank, shared.latent.product, 0);
  shared.latent.normed = normed(p, p.w.kv_latent_norm, shared.latent.product);
  return shared;
}

}  // namespace

void project_latents(const Projection& p, const AttentionTape& numbers) {
  const Stream& stream = p.pass.stream;
  Arena& arena = p.pass.arena;
  const ArenaScope scope(arena);
  const int64_t kv_rank = p.c.latent()->kv_rank, plain = p.c.rotary.first, turned = p.c.rotary.dim;
  const Shared shared = shared_of(p);
  if (p.tables.cos_sin.rows() > 0)
    rope(stream, p.positions, p.tables.cos_sin, p.c.rotary.pairs, kv_rank,
         shared.all.reshaped({p.tokens(), 1, kv_rank + turned}));
  const View expanded = arena.alloc({p.tokens() * p.c.num_heads, plain + p.c.value_dim}, DType::f32);
  gemm(stream, shared.latent.normed, p.w.kv, GemmOutput::store, expanded.reshaped({p.tokens(), p.w.kv.n()}));
  copy_columns(stream, expanded, 0, plain, by_head(numbers.k), 0);
  copy_columns(stream, shared.all, kv_rank, turned, by_head(numbers.k), plain);
  copy_columns(stream, expanded, plain, p.c.value_dim, by_head(numbers.v), 0);
  const Heads queries(p, p.w.q_norm, true, numbers.q);
  queries.multiply(p.c.latent()->query_rank > 0 ? ConstView(queries_latent(p).normed) : p.u, p.w.q);
}

void project_latents_backward(const Projection& p, const AttentionTape& numbers, View dq, View dk, View dv,
                              const BlockGradient& sums, View du) {
  const Stream& stream = p.pass.stream;
  Arena& arena = p.pass.arena;
  const ArenaScope scope(arena);
  const int64_t kv_rank = p.c.latent()->kv_rank, plain = p.c.rotary.first, turned = p.c.rotary.dim;
  const AttentionWeights &w = p.w, &transposes = p.transposes;

  Heads(p, w.q_norm, true, numbers.q).backward(dq, sums);
  const View d_queries = dq.reshaped({p.tokens(), p.c.query_size()});
  if (const int64_t query_rank = p.c.latent()->query_rank; query_rank > 0) {
    const Latent latent = queries_latent(p);
    const View d_latent = arena.alloc({p.tokens(), query_rank}, DType::f32);
    backward_linear(p.pass, w.q, transposes.q, latent.normed, d_queries, p.rows, sums, GemmOutput::store, d_latent);
    norm_backward(p, w.q_latent_norm, latent.product, d_latent, sums);
    backward_linear(p.pass, w.q_latent, transposes.q_latent, p.u, d_latent, p.rows, sums, GemmOutput::store, du);
  } else {
    backward_linear(p.pass, w.q, transposes.q, p.u, d_queries, p.rows, sums, GemmOutput::store, du);
  }

  const Shared shared = shared_of(p);
  const View d_expanded = arena.alloc({p.tokens() * p.c.num_heads, plain + p.c.value_dim}, DType::f32);
  copy_columns(stream, by_head(dk), 0, plain, d_expanded, 0);
  copy_columns(stream, by_head(dv), 0, p.c.value_dim, d_expanded, plain);
  const View d_latent = arena.alloc({p.tokens(), kv_rank}, DType::f32);
  backward_product(p.pass, w.kv, transposes.kv, shared.latent.normed, d_expanded.reshaped({p.tokens(), w.kv.n()}),
                   p.rows, sums, GemmOutput::store, d_latent);
  norm_backward(p, w.kv_latent_norm, shared.latent.product, d_latent, sums);
  const View d_shared = arena.alloc(shared.all.shape, DType::f32);
  copy_columns(stream, d_latent, 0, kv_rank, d_shared, 0);
  copy_columns_backward(stream, by_head(dk), plain, turned, d_shared, kv_rank);
  if (p.tables.cos_sin.rows() > 0)
    rope_backward(stream, p.positions, p.tables.cos_sin, p.c.rotary.pairs, kv_rank,
                  d_shared.reshaped({p.tokens(), 1, kv_rank + turned}));
  backward_linear(p.pass, w.kv_latent, transposes.kv_latent, p.u, d_shared, p.rows, sums, GemmOutput::add, du);
}

}  // namespace switchyard
