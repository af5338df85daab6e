#include "model/decoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/device.h"
#include "kernels/attention.h"
#include "kernels/cast.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/gemm.h"
#include "kernels/permute.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"

namespace switchyard {

void Batch::add(std::span<const int32_t> record) {
  ids.insert(ids.end(), record.begin(), record.end());
  for (size_t i = 0; i < record.size(); ++i) positions.push_back(static_cast<int32_t>(i));
  record_offsets.push_back(tokens());
}

void Batch::clear() {
  *this = Batch();
}

Decoder::Decoder(const Stream& stream, const ModelWeights& weights, ExpertExchange& exchange,
                 const DecoderLimits& limits)
    : weights_(weights),
      exchange_(exchange),
      cos_sin_({limits.max_record, weights.config.head_dim}, DType::f32, stream.device) {
  OwnedTensor table(cos_sin_.view().shape, DType::f32);
  fill_rope_table(weights.config.rope_theta, table.view());
  copy(stream, table.view(), cos_sin_.view());
  synchronize(stream);
}

View Decoder::forward(const Stream& stream, Arena& arena, const Batch& batch) const {
  const ModelConfig& c = weights_.config;
  const auto eps = static_cast<float>(c.rms_norm_eps);
  View x = arena.alloc({batch.tokens(), c.hidden_size}, DType::f32);  // the residual stream
  const ArenaScope scope(arena);
  const Tokens tokens{on_device(stream, arena, view_of<int32_t>(batch.ids)),
                      on_device(stream, arena, view_of<int32_t>(batch.positions)),
                      on_device(stream, arena, view_of<int64_t>(batch.record_offsets))};

  embedding(stream, tokens.ids, weights_.embed.view(), x);
  for (size_t i = 0; i < weights_.layers.size(); ++i) {
    const LayerWeights& layer = weights_.layers[i];
    stream.at_layer(i);
    attend(stream, arena, layer.attention, tokens, x);
    feed_forward(stream, arena, layer, x);
  }
  rms_norm(stream, x, weights_.norm.view(), eps, x);
  return x;
}

/// x += O(attention(rope(norm(Q u)), rope(norm(K u)), V u)), u = norm(x)
void Decoder::attend(const Stream& stream, Arena& arena, const AttentionWeights& w, const Tokens& batch, View x) const {
  const ModelConfig& c = weights_.config;
  const ArenaScope scope(arena);
  const auto eps = static_cast<float>(c.rms_norm_eps);
  const int64_t tokens = x.rows(), hd = c.head_dim;
  View u = arena.alloc({tokens, c.hidden_size}, weights_.operand);
  View q = arena.alloc({tokens, c.num_heads * hd}, DType::f32);
  View k = arena.alloc({tokens, c.num_kv_heads * hd}, DType::f32);
  View v = arena.alloc({tokens, c.num_kv_heads * hd}, DType::f32);
  View context = arena.alloc({tokens, c.num_heads * hd}, weights_.operand);

  rms_norm(stream, x, w.norm.view(), eps, u);
  gemm(stream, u, w.q, GemmOutput::store, q);
  gemm(stream, u, w.k, GemmOutput::store, k);
  gemm(stream, u, w.v, GemmOutput::store, v);
  if (c.qk_norm) {
    const View q_heads = q.reshaped({tokens * c.num_heads, hd}), k_heads = k.reshaped({tokens * c.num_kv_heads, hd});
    rms_norm(stream, q_heads, w.q_norm.view(), eps, q_heads);
    rms_norm(stream, k_heads, w.k_norm.view(), eps, k_heads);
  }
  const Shape q_shape{tokens, c.num_heads, hd}, kv_shape{tokens, c.num_kv_heads, hd};
  rope(stream, batch.positions, cos_sin_.view(), q.reshaped(q_shape));
  rope(stream, batch.positions, cos_sin_.view(), k.reshaped(kv_shape));
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(hd)));
  attention(stream, q.reshaped(q_shape), k.reshaped(kv_shape), v.reshaped(kv_shape), batch.record_offsets, scale,
            context.reshaped(q_shape));
  gemm(stream, context, w.o, GemmOutput::add, x);
}

/// x += ffn(norm(x)): a mixture of experts, or one dense SwiGLU.
void Decoder::feed_forward(const Stream& stream, Arena& arena, const LayerWeights& w, View x) const {
  const ModelConfig& c = weights_.config;
  const ArenaScope scope(arena);
  const bool moe = w.dense.empty();
  View u = arena.alloc(x.shape, moe ? DType::f32 : weights_.operand);
  rms_norm(stream, x, w.ffn_norm.view(), static_cast<float>(c.rms_norm_eps), u);
  if (moe) {
    moe_layer(stream, arena, c, w, exchange_, u, x);
  } else {
    add_ffn(stream, arena, w.dense, u, x);
  }
}

TokenScores Decoder::score(const Stream& stream, Arena& arena, ConstView states, std::span<const int32_t> row,
                           std::span<const int32_t> target) const {
  const ArenaScope scope(arena);
  const ModelConfig& c = weights_.config;
  const auto rows = static_cast<int64_t>(row.size());
  View x = arena.alloc({rows, c.hidden_size}, DType::f32);
  gather_rows(stream, states, on_device(stream, arena, view_of(row)), x);
  if (weights_.operand != DType::f32) {
    View rounded = arena.alloc(x.shape, weights_.operand);
    cast(stream, x, rounded);
    x = rounded;
  }
  View scratch = arena.alloc({cross_entropy_scratch(rows, c.vocab_size)}, DType::f32);
  View logprob = arena.alloc({rows}, DType::f32), argmax = arena.alloc({rows}, DType::i32);
  cross_entropy(stream, x, weights_.head, on_device(stream, arena, view_of(target)), scratch, logprob, argmax);

  TokenScores scores;
  scores.logprob.resize(row.size());
  scores.argmax.resize(row.size());
  copy(stream, logprob, {scores.logprob.data(), {rows}, DType::f32, Device::cpu});
  copy(stream, argmax, {scores.argmax.data(), {rows}, DType::i32, Device::cpu});
  synchronize(stream);
  return scores;
}

size_t Decoder::arena_bytes(const ModelConfig& c, DType operand, const DecoderLimits& limits, size_t exchange_bytes,
                            Device device) {
  const int64_t t = limits.max_tokens, d = c.hidden_size, hd = c.head_dim;
  const auto list = [&](int64_t length, DType dtype) { return allocation_bytes({length}, dtype, device); };
  const auto f32 = [&](int64_t rows, int64_t columns) { return allocation_bytes({rows, columns}, DType::f32, device); };
  const auto rounded = [&](int64_t rows, int64_t columns) {
    return allocation_bytes({rows, columns}, operand, device);
  };
  const bool elsewhere = device != Device::cpu;  // what the host makes is copied

  const size_t tokens = elsewhere ? 2 * list(t, DType::i32) + list(t + 1, DType::i64) : 0;
  const size_t attend =
      rounded(t, d) + f32(t, c.num_heads * hd) + 2 * f32(t, c.num_kv_heads * hd) + rounded(t, c.num_heads * hd);
  const size_t moe = f32(t, d) + moe_layer_bytes(c, operand, t, exchange_bytes, device);
  const size_t dense = c.dense_ffn_size > 0 ? rounded(t, d) + add_ffn_bytes(device) : 0;
  const size_t score = f32(t, d) + (operand == DType::f32 ? 0 : rounded(t, d)) +
                       list(cross_entropy_scratch(t, c.vocab_size), DType::f32) +
                       (elsewhere ? 4 : 2) * list(t, DType::i32);
  return f32(t, d) + std::max({tokens + std::max({attend, moe, dense}), score});
}

size_t Decoder::table_bytes(const ModelConfig& c, const DecoderLimits& limits) {
  return static_cast<size_t>(limits.max_record * c.head_dim) * sizeof(float);
}

}  // namespace switchyard
