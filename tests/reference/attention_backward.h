#pragma once

#include "reference/attention.h"

namespace switchyard::reference {

struct AttentionGradients {
  std::vector<Bounded> dq, dk, dv;
};

/// Adds the gradients by what one query head gives at position t of the record that begins at `token`, `length` tokens
/// long. Errors of f32: of the probabilities e^(score − lse) a factor, from their exponents'; of sums of n terms n ε.
template <class T>
void add_attention_gradients(const T& q, const T& k, const T& v, const T& d_out, int64_t token, int64_t length,
                             int64_t t, int64_t head, const AttentionShape& shape, const KeySpan& span,
                             std::optional<double> sink, double scale, AttentionGradients& sum) {
  const auto add = [](Bounded& to, double value, double bound) { to = {to.value + value, to.bound + bound}; };
  const auto times_epsilon = [](int64_t n) { return static_cast<double>(n) * kEpsilon; };
  const int64_t group = shape.heads / shape.kv_heads, e = shape.value_dim;
  const Scores scores = scores_of(q, k, token, t, head, shape, span, sink, scale);
  const std::vector<double> p = softmax(scores.values);
  const double lse = log_sum_exp(scores.values);
  const int64_t query = (token + t) * shape.heads + head;
  const auto value_of = [&](int64_t key) { return ((token + key) * shape.kv_heads + head / group) * e; };

  double delta = 0, delta_bound = 0;  // Σ d_out ⊙ out
  for (int64_t i = 0; i < e; ++i) {
    double out = 0;
    for (size_t j = 0; j < scores.keys.size(); ++j) out += p[j] * v.at(value_of(scores.keys[j]) + i);
    delta += d_out.at(query * e + i) * out;
    delta_bound += times_epsilon(e + 3) * std::abs(d_out.at(query * e + i) * out);  // out is rounded too
  }
  for (size_t j = 0; j < scores.keys.size(); ++j) {
    const int64_t value = value_of(scores.keys[j]);
    double dp = 0, dp_bound = 0;
    for (int64_t i = 0; i < e; ++i) {
      dp += d_out.at(query * e + i) * v.at(value + i);
      dp_bound += times_epsilon(e + 1) * std::abs(d_out.at(query * e + i) * v.at(value + i));
    }
    const double exponent_bound = scores.delta + kEpsilon * (2 * std::abs(lse) + std::abs(scores.values[j]) + 16);
    const double p_bound = p[j] * std::expm1(exponent_bound);
    const double ds = p[j] * (dp - delta);
    const double ds_bound = p_bound * std::abs(dp - delta) + (p[j] + p_bound) * (dp_bound + delta_bound) +
                            3 * kEpsilon * p[j] * (std::abs(dp) + std::abs(delta));
    for (int64_t i = 0; i < e; ++i) {
      const double x = d_out.at(query * e + i);
      add(sum.dv[static_cast<size_t>(value + i)], p[j] * x,
          std::abs(x) * (p_bound + times_epsilon(length * group + 2) * p[j]));
    }
    for (int64_t i = 0; i < shape.head_dim; ++i) {
      const int64_t query_element = query * shape.head_dim + i;
      const int64_t key_element = value / e * shape.head_dim + i;
      const double by_q = scale * k.at(key_element), by_k = scale * q.at(query_element);
      add(sum.dq[static_cast<size_t>(query_element)], ds * by_q,
          std::abs(by_q) * (ds_bound + times_epsilon(length + 4) * std::abs(ds)));
      add(sum.dk[static_cast<size_t>(key_element)], ds * by_k,
          std::abs(by_k) * (ds_bound + times_epsilon(length * group + 4) * std::abs(ds)));
    }
  }
}

/// Of whole records, from offsets [records + 1]. `sinks`: of each head, or none.
template <class T>
AttentionGradients attention_gradients(const T& q, const T& k, const T& v, const T& d_out,
                                       const std::vector<int64_t>& offsets, const AttentionShape& shape,
                                       const KeySpan& span, const std::vector<float>& sinks, double scale) {
  const auto tokens = static_cast<size_t>(offsets.back());
  const auto elements = [&](int64_t heads, int64_t dim) { return tokens * static_cast<size_t>(heads * dim); };
  AttentionGradients sum;
  sum.dq.resize(elements(shape.heads, shape.head_dim));
  sum.dk.resize(elements(shape.kv_heads, shape.head_dim));
  sum.dv.resize(elements(shape.kv_heads, shape.value_dim));
  for (size_t r = 0; r + 1 < offsets.size(); ++r)
    for (int64_t t = 0; t < offsets[r + 1] - offsets[r]; ++t)
      for (int64_t h = 0; h < shape.heads; ++h) {
        const auto sink = sinks.empty() ? std::nullopt : std::optional<double>(sinks[static_cast<size_t>(h)]);
        add_attention_gradients(q, k, v, d_out, offsets[r], offsets[r + 1] - offsets[r], t, h, shape, span, sink, scale,
                                sum);
      }
  return sum;
}

}  // namespace switchyard::reference
