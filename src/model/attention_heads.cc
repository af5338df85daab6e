#include "model/attention_heads.h"

#include "kernels/attention/attention.h"
#include "kernels/attention/prepare_heads.h"
#include "kernels/rows/cast.h"
#include "kernels/rows/copy_columns.h"
#include "kernels/rows/rms_norm.h"
#include "model/linear.h"

namespace switchyard {
namespace {

View product(const Stream& stream, Arena& arena, ConstView x, const Linear& w) {
  View y = arena.alloc({x.rows(), w.weight.n()}, DType::f32);
  linear(stream, x, w, GemmOutput::store, y);
  return y;
}

View normed_latent(const Stream& stream, Arena& arena, ConstView x, const OwnedTensor& weight, DType operand) {
  View y = arena.alloc(x.shape, operand);
  rms_norm(stream, x, weight.view(), kLatentEps, y);
  return y;
}

/// Nothing where nothing is done to vectors in place.
void prepare(const Stream& stream, ConstView x, ConstView positions, const HeadSteps& steps, View y) {
  if (y.dtype != x.dtype || !steps.none()) prepare_heads(stream, x, positions, steps, y);
}

/// What becomes `heads`: themselves, or room beside them.
View in_f32(Arena& arena, View heads) {
  return heads.dtype == DType::f32 ? heads : arena.alloc(heads.shape, DType::f32);
}

/// k = K u, v = V u, q = Q u
void multiply_direct(const Stream& stream, const AttentionWeights& w, ConstView u, const AttentionHeads& heads) {
  const auto multiply = [&](const Linear& of, View y) {
    linear(stream, u, of, GemmOutput::store, y.reshaped({u.rows(), of.weight.n()}));
  };
  multiply(w.q, heads.q);
  multiply(w.k, heads.k);
  multiply(w.v, heads.v);
}

/// c = norm(latent part of C u): each head's [plain part of k, v] = B c; the part of k that turns is the rest of C u,
/// the same in all heads, and turned here, once.   (DeepSeek-V2, §2.1)
void multiply_latents(const Stream& stream, Arena& arena, const AttentionConfig& c, const AttentionWeights& w,
                      ConstView u, ConstView positions, const HeadSteps& rotation, const AttentionHeads& heads) {
  const int64_t tokens = u.rows(), kv_rank = c.latent()->kv_rank, plain = c.rotary.first, turned = c.rotary.dim;
  const ArenaScope scope(arena);
  const View k = heads.k.reshaped({tokens * c.num_heads, c.head_dim});
  const View v = heads.v.reshaped({tokens * c.num_heads, c.value_dim});

  const View shared = product(stream, arena, u, w.kv_latent);
  const View latent = arena.alloc({tokens, kv_rank}, DType::f32), of_all = arena.alloc({tokens, turned}, DType::f32);
  copy_columns(stream, shared, 0, kv_rank, latent, 0);
  copy_columns(stream, shared, kv_rank, turned, of_all, 0);
  HeadSteps turn = rotation;
  turn.first = 0;
  prepare(stream, of_all.reshaped({tokens, 1, turned}), positions, turn, of_all.reshaped({tokens, 1, turned}));
  const View normed = normed_latent(stream, arena, latent, w.kv_latent_norm, u.dtype);
  const View expanded = arena.alloc({tokens, w.kv.n()}, DType::f32);
  gemm(stream, normed, w.kv, GemmOutput::store, expanded);
  const View of_heads = expanded.reshaped({tokens * c.num_heads, plain + c.value_dim});
  copy_columns(stream, of_heads, 0, plain, k, 0);
  copy_columns(stream, of_all, 0, turned, k, plain);
  copy_columns(stream, of_heads, plain, c.value_dim, v, 0);

  ConstView of_queries = u;
  if (c.latent()->query_rank > 0)
    of_queries = normed_latent(stream, arena, product(stream, arena, u, w.q_latent), w.q_latent_norm, u.dtype);
  linear(stream, of_queries, w.q, GemmOutput::store, heads.q.reshaped({tokens, c.query_size()}));
}

}  // namespace

AttentionHeads attention_heads(const Stream& stream, Arena& arena, const AttentionConfig& c, const AttentionWeights& w,
                               float eps, ConstView u, ConstView positions, const PositionTables& tables) {
  const int64_t tokens = u.rows();
  const DType operand = attention_operand(stream.device, u.dtype);
  const AttentionHeads heads{arena.alloc({tokens, c.num_heads, c.head_dim}, operand),
                             arena.alloc({tokens, c.num_kv_heads, c.head_dim}, operand),
                             arena.alloc({tokens, c.num_kv_heads, c.value_dim}, operand)};
  const ArenaScope scope(arena);
  const AttentionHeads products{in_f32(arena, heads.q), in_f32(arena, heads.k), in_f32(arena, heads.v)};
  const bool direct = c.latent() == nullptr;
  const HeadSteps rotation{.cos_sin = tables.cos_sin, .pairs = c.rotary.pairs, .first = c.rotary.first};
  if (direct)
    multiply_direct(stream, w, u, products);
  else
    multiply_latents(stream, arena, c, w, u, positions, rotation, products);

  HeadSteps of_keys = direct ? rotation : HeadSteps{};
  of_keys.norm = c.qk_norm, of_keys.norm_weight = w.k_norm.view(), of_keys.eps = eps;
  HeadSteps of_queries = rotation;
  of_queries.norm = c.qk_norm, of_queries.norm_weight = w.q_norm.view(), of_queries.eps = eps;
  of_queries.factors = tables.temperature;
  if (operand != DType::f32) of_queries.factor = attention_factor(static_cast<float>(c.scale));
  prepare(stream, products.q, positions, of_queries, heads.q);
  prepare(stream, products.k, positions, of_keys, heads.k);
  if (operand != DType::f32) cast(stream, products.v, heads.v);
  return heads;
}

}  // namespace switchyard
