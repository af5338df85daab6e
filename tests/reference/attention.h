#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/attention/key_span.h"
#include "reference/linear.h"
#include "reference/softmax.h"

namespace switchyard::reference {

/// Whether the query at position t sees the key at position s.
inline bool sees(const KeySpan& span, int64_t t, int64_t s) {
  if (s > t) return false;
  if (span.kind == KeySpan::Kind::window) return t - s < span.size;
  if (span.kind == KeySpan::Kind::chunk) return s / span.size == t / span.size;
  return true;
}

struct AttentionShape {
  int64_t heads, kv_heads, head_dim, value_dim;
};

/// The scores of the keys that one query sees, scaled, last of all its sink; each is within `delta` of what f32 gives.
struct Scores {
  std::vector<int64_t> keys;
  std::vector<double> values;
  double delta = 0;
};

/// Of the query at position t of the record that begins at `token`. `rounding`: of the products' operands, or 0.
template <class T>
Scores scores_of(const T& q, const T& k, int64_t token, int64_t t, int64_t head, const AttentionShape& shape,
                 const KeySpan& span, std::optional<double> sink, double scale, double rounding = 0) {
  const int64_t kv_head = head / (shape.heads / shape.kv_heads);
  Scores scores;
  for (int64_t s = 0; s <= t; ++s) {
    if (!sees(span, t, s)) continue;
    const Bounded score = dot(
        [&](int64_t i) {
          const double x = q.at(((token + t) * shape.heads + head) * shape.head_dim + i);
          return Bounded{x, ((1 + rounding) * (1 + rounding) - 1) * std::abs(x)};  // k's rounding is counted here too
        },
        [&](int64_t i) { return k.at(((token + s) * shape.kv_heads + kv_head) * shape.head_dim + i); }, shape.head_dim);
    scores.keys.push_back(s);
    scores.values.push_back(scale * score.value);
    scores.delta = std::max(scores.delta, std::abs(scale) * (score.bound + 4 * kEpsilon * std::abs(score.value)));
  }
  if (!sink) return scores;
  scores.values.push_back(*sink);
  if (std::exp(*sink - log_sum_exp(scores.values)) > 0)
    scores.delta = std::max(scores.delta, 4 * kEpsilon * std::abs(*sink));
  return scores;
}

/// The logarithm of the softmax's denominator, of n terms: an error δ of the scores is one of it.
inline Bounded lse_of(const Scores& scores) {
  const double value = log_sum_exp(scores.values);
  return {value, scores.delta + static_cast<double>(scores.values.size() + 16) * kEpsilon + kEpsilon * std::abs(value)};
}

/// Causal attention of one query head in one record of `length` tokens that begins at `token`. q: [tokens, heads,
/// head_dim], k: [tokens, kv_heads, head_dim], v: [tokens, kv_heads, value_dim]. An error δ of the scores is a factor
/// within e^±2δ of the probabilities. `sink`: one more score, whose probability is dropped. `rounding`: of the
/// products' operands, q, k, v and the probabilities, or 0.
template <class T>
std::vector<Bounded> attention_head(const T& q, const T& k, const T& v, int64_t token, int64_t length, int64_t head,
                                    const AttentionShape& shape, const KeySpan& span, std::optional<double> sink,
                                    double scale, double rounding = 0) {
  const int64_t kv_head = head / (shape.heads / shape.kv_heads);
  const double rounded_twice = (1 + rounding) * (1 + rounding) - 1;
  std::vector<Bounded> out;
  for (int64_t t = 0; t < length; ++t) {
    const Scores scores = scores_of(q, k, token, t, head, shape, span, sink, scale, rounding);
    const std::vector<double> p = softmax(scores.values);
    const double factor = std::exp(2 * scores.delta + static_cast<double>(2 * t + 16) * kEpsilon) * (1 + rounded_twice);
    for (int64_t i = 0; i < shape.value_dim; ++i) {
      double value = 0, magnitude = 0;
      for (size_t j = 0; j < scores.keys.size(); ++j) {
        const double x = v.at(((token + scores.keys[j]) * shape.kv_heads + kv_head) * shape.value_dim + i);
        value += p[j] * x;
        magnitude += p[j] * std::abs(x);
      }
      out.push_back({value, magnitude * (factor - 1)});
    }
  }
  return out;
}

}  // namespace switchyard::reference
