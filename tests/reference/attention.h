#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "reference/linear.h"
#include "reference/softmax.h"

namespace switchyard::reference {

/// Causal attention of one query head in one record of `length` tokens that begins at `token`. q: [tokens, heads,
/// head_dim], k, v: [tokens, kv_heads, head_dim]. An error δ of the scores is a factor within e^±2δ of the
/// probabilities. `rounding`: of the products' operands, q, k, v and the probabilities, or 0.
template <class T>
std::vector<Bounded> attention_head(const T& q, const T& k, const T& v, int64_t token, int64_t length, int64_t head,
                                    int64_t heads, int64_t kv_heads, int64_t head_dim, double scale,
                                    double rounding = 0) {
  const int64_t kv_head = head / (heads / kv_heads);
  const auto kv = [&](int64_t t, int64_t i) { return ((token + t) * kv_heads + kv_head) * head_dim + i; };
  const double rounded_twice = (1 + rounding) * (1 + rounding) - 1;
  std::vector<Bounded> out;
  for (int64_t t = 0; t < length; ++t) {
    std::vector<double> scores;
    double delta = 0;
    for (int64_t s = 0; s <= t; ++s) {
      const Bounded score = dot(
          [&](int64_t i) {
            const double x = q.at(((token + t) * heads + head) * head_dim + i);
            return Bounded{x, rounded_twice * std::abs(x)};  // k's rounding is counted here too
          },
          [&](int64_t i) { return k.at(kv(s, i)); }, head_dim);
      scores.push_back(scale * score.value);
      delta = std::max(delta, std::abs(scale) * (score.bound + 4 * kEpsilon * std::abs(score.value)));
    }
    const double factor = std::exp(2 * delta + static_cast<double>(2 * t + 16) * kEpsilon) * (1 + rounded_twice);
    const std::vector<double> p = softmax(scores);
    for (int64_t i = 0; i < head_dim; ++i) {
      double value = 0, magnitude = 0;
      for (int64_t s = 0; s <= t; ++s) {
        value += p[static_cast<size_t>(s)] * v.at(kv(s, i));
        magnitude += p[static_cast<size_t>(s)] * std::abs(v.at(kv(s, i)));
      }
      out.push_back({value, magnitude * (factor - 1)});
    }
  }
  return out;
}

}  // namespace switchyard::reference
