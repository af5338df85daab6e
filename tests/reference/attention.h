#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "reference/linear.h"
#include "reference/softmax.h"

namespace switchyard::reference {

/// Causal attention of one query head in one record of `length` tokens that begins at `token`. q: [tokens, heads,
/// head_dim], k, v: [tokens, kv_heads, head_dim]. An error δ of the scores is one of 2δ, relative, of the
/// probabilities.
template <class T>
std::vector<Bounded> attention_head(const T& q, const T& k, const T& v, int64_t token, int64_t length, int64_t head,
                                    int64_t heads, int64_t kv_heads, int64_t head_dim, double scale) {
  const int64_t kv_head = head / (heads / kv_heads);
  const auto kv = [&](int64_t t, int64_t i) { return ((token + t) * kv_heads + kv_head) * head_dim + i; };
  std::vector<Bounded> out;
  for (int64_t t = 0; t < length; ++t) {
    std::vector<double> scores;
    double delta = 0;
    for (int64_t s = 0; s <= t; ++s) {
      const Bounded score = dot(
          [&](int64_t i) {
            return Bounded{q.at(((token + t) * heads + head) * head_dim + i), 0};
          },
          [&](int64_t i) { return k.at(kv(s, i)); }, head_dim);
      scores.push_back(scale * score.value);
      delta = std::max(delta, std::abs(scale) * (score.bound + 4 * kEpsilon * std::abs(score.value)));
    }
    const std::vector<double> p = softmax(scores);
    for (int64_t i = 0; i < head_dim; ++i) {
      double value = 0, magnitude = 0;
      for (int64_t s = 0; s <= t; ++s) {
        value += p[static_cast<size_t>(s)] * v.at(kv(s, i));
        magnitude += p[static_cast<size_t>(s)] * std::abs(v.at(kv(s, i)));
      }
      out.push_back({value, magnitude * (2 * delta + static_cast<double>(2 * t + 16) * kEpsilon)});
    }
  }
  return out;
}

}  // namespace switchyard::reference
