#include "model/attention_heads.h"

#include "kernels/attention/rope.h"
#include "kernels/rows/copy_columns.h"
#include "kernels/rows/rms_norm.h"
#include "kernels/rows/scale_rows.h"
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

/// What a position does to queries and keys: turns dimensions of each head, from `first` on.
struct Rotation {
  const Stream& stream;
  ConstView positions, cos_sin;
  RotaryPairs pairs;

  void turn(View heads, int64_t first) const {
    if (cos_sin.rows() > 0) rope(stream, positions, cos_sin, pairs, first, heads);
  }
};

/// k = K u, v = V u, q = Q u
AttentionHeads direct_heads(const Stream& stream, Arena& arena, const AttentionConfig& c, const AttentionWeights& w,
                            ConstView u) {
  const int64_t tokens = u.rows();
  return {product(stream, arena, u, w.q).reshaped({tokens, c.num_heads, c.head_dim}),
          product(stream, arena, u, w.k).reshaped({tokens, c.num_kv_heads, c.head_dim}),
          product(stream, arena, u, w.v).reshaped({tokens, c.num_kv_heads, c.value_dim})};
}

/// c = norm(latent part of C u): each head's [plain part of k, v] = B c; the part of k that turns is the rest of C u,
/// the same in all heads, and turned here, once.   (DeepSeek-V2, §2.1)
AttentionHeads latent_heads(const Stream& stream, Arena& arena, const AttentionConfig& c, const AttentionWeights& w,
                            const Rotation& rotation, ConstView u) {
  const int64_t tokens = u.rows(), kv_rank = c.latent()->kv_rank, plain = c.rotary.first, turned = c.rotary.dim;
  AttentionHeads heads;
  heads.k = arena.alloc({tokens, c.num_heads, c.head_dim}, DType::f32);
  heads.v = arena.alloc({tokens, c.num_heads, c.value_dim}, DType::f32);
  heads.q = arena.alloc({tokens, c.num_heads, c.head_dim}, DType::f32);
  const ArenaScope scope(arena);
  const View k = heads.k.reshaped({tokens * c.num_heads, c.head_dim});
  const View v = heads.v.reshaped({tokens * c.num_heads, c.value_dim});

  const View shared = product(stream, arena, u, w.kv_latent);
  rotation.turn(shared.reshaped({tokens, 1, kv_rank + turned}), kv_rank);
  const View latent = arena.alloc({tokens, kv_rank}, DType::f32);
  copy_columns(stream, shared, 0, kv_rank, latent, 0);
  const View normed = normed_latent(stream, arena, latent, w.kv_latent_norm, u.dtype);
  const View expanded = arena.alloc({tokens, w.kv.n()}, DType::f32);
  gemm(stream, normed, w.kv, GemmOutput::store, expanded);
  const View of_heads = expanded.reshaped({tokens * c.num_heads, plain + c.value_dim});
  copy_columns(stream, of_heads, 0, plain, k, 0);
  copy_columns(stream, shared, kv_rank, turned, k, plain);
  copy_columns(stream, of_heads, plain, c.value_dim, v, 0);

  ConstView of_queries = u;
  if (c.latent()->query_rank > 0)
    of_queries = normed_latent(stream, arena, product(stream, arena, u, w.q_latent), w.q_latent_norm, u.dtype);
  linear(stream, of_queries, w.q, GemmOutput::store, heads.q.reshaped({tokens, c.query_size()}));
  return heads;
}

/// Each head by itself; without weights where there are none.
void norm_heads(const Stream& stream, const OwnedTensor& weight, float eps, View x) {
  const View heads = x.reshaped({x.shape[0] * x.shape[1], x.shape[2]});
  rms_norm(stream, heads, weight.view(), eps, heads);
}

}  // namespace

AttentionHeads attention_heads(const Stream& stream, Arena& arena, const AttentionConfig& c, const AttentionWeights& w,
                               float eps, ConstView u, ConstView positions, const PositionTables& tables) {
  const Rotation rotation{stream, positions, tables.cos_sin, c.rotary.pairs};
  const bool direct = c.latent() == nullptr;
  const AttentionHeads heads =
      direct ? direct_heads(stream, arena, c, w, u) : latent_heads(stream, arena, c, w, rotation, u);
  const auto& [q, k, v] = heads;
  if (c.qk_norm == QkNorm::before_rotary) {
    norm_heads(stream, w.q_norm, eps, q);
    norm_heads(stream, w.k_norm, eps, k);
  }
  rotation.turn(q, c.rotary.first);
  if (direct) rotation.turn(k, c.rotary.first);
  if (c.qk_norm == QkNorm::after_rotary) {
    norm_heads(stream, w.q_norm, eps, q);  // whose weights are ones
    norm_heads(stream, w.k_norm, eps, k);
  }
  if (c.temperature.scale != 0) {
    const View all = q.reshaped({q.rows(), c.query_size()});
    scale_rows(stream, all, positions, tables.temperature, all);
  }
  return heads;
}

}  // namespace switchyard
