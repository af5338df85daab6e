// What training minimises, of a whole model of the families that can be trained: a token, a row, a formula at a time,
// over double or over numbers that carry derivatives (dual.h). Only a configuration's numbers come from the program.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <numbers>
#include <span>
#include <string>
#include <vector>

#include "model/config/model_config.h"
#include "reference/attention.h"
#include "reference/dual.h"
#include "reference/router.h"

namespace switchyard::reference {

/// By Hugging Face's names; matrices [out, in].
template <class S>
using Parameters = std::map<std::string, std::vector<S>>;

template <class S>
struct Losses {
  S cross_entropy = 0;  ///< the mean over all that is learnt
  S balance = 0;        ///< the mean over moe layers of E Σ_e f_e P_e; the shares f_e of assignments are constants
  std::vector<int64_t> tokens;                              ///< [layers, E] that went to each expert
  double margin = std::numeric_limits<double>::infinity();  ///< least lead of a chosen logit over the next
};

/// Radians by which pair i of a head turns from one position to the next, and by what cosines and sines are multiplied.
inline double frequency(const RotaryConfig& c, int64_t i) {
  const auto dim = static_cast<double>(c.dim), pair = static_cast<double>(i);
  const double plain = std::pow(c.theta, -2 * pair / dim);
  const auto* yarn = std::get_if<YarnScaling>(&c.scaling);
  if (yarn == nullptr) return plain;
  const auto pair_with_turns = [&](double turns) {
    return dim * std::log(yarn->original_positions / (turns * 2 * std::numbers::pi)) / (2 * std::log(c.theta));
  };
  const double low = std::max(std::floor(pair_with_turns(yarn->beta_fast)), 0.0),
               high = std::min(std::ceil(pair_with_turns(yarn->beta_slow)), dim - 1);
  const double slow = std::clamp((pair - low) / (high - low), 0.0, 1.0);
  return plain / yarn->factor * slow + plain * (1 - slow);
}
inline double stretch(const RotaryConfig& c) {
  const auto* yarn = std::get_if<YarnScaling>(&c.scaling);
  return yarn == nullptr ? 1 : 0.1 * std::log(yarn->factor) + 1;
}

template <class S>
class Transformer {
 public:
  using Row = std::vector<S>;

  Transformer(const ModelConfig& config, const Parameters<S>& parameters) : c_(config), w_(parameters) {}

  /// records: each with its tokens, of which the last is only learnt, and its context, which is only read.
  template <class Records>
  Losses<S> losses(const Records& records) {
    const size_t layers = c_.layers.size(), experts = static_cast<size_t>(c_.num_experts());
    losses_.tokens.assign(layers * experts, 0);
    probability_.assign(layers, Row(experts));
    int64_t learnt = 0, read = 0;
    for (const auto& record : records) {
      const std::vector<Row> states = states_of(std::span(record.tokens).first(record.tokens.size() - 1));
      read += std::ssize(states);
      for (size_t t = static_cast<size_t>(record.context) - 1; t < states.size(); ++t, ++learnt) {
        const Row logits = linear(states[t], c_.tied_embeddings ? "model.embed_tokens" : "lm_head");
        losses_.cross_entropy += log_sum(logits) - logits[static_cast<size_t>(record.tokens[t + 1])];
      }
    }
    const auto tokens = static_cast<double>(read);
    losses_.cross_entropy = losses_.cross_entropy / static_cast<double>(learnt);
    for (size_t layer = 0; layer < layers; ++layer)
      for (size_t e = 0; e < experts && c_.layers[layer].moe() != nullptr; ++e) {
        const double share =
            static_cast<double>(losses_.tokens[layer * experts + e]) / (tokens * c_.experts_per_token());
        losses_.balance +=
            probability_[layer][e] * (share / tokens * c_.num_experts() / static_cast<double>(c_.num_moe_layers()));
      }
    return losses_;
  }

 private:
  std::vector<Row> states_of(std::span<const int32_t> tokens) {
    const Row& table = w_.at("model.embed_tokens.weight");
    std::vector<Row> x;
    for (const int32_t id : tokens) {
      const auto first = table.begin() + id * c_.hidden_size;
      x.emplace_back(first, first + c_.hidden_size);
    }
    for (size_t layer = 0; layer < c_.layers.size(); ++layer) {
      const std::string name = "model.layers." + std::to_string(layer) + ".";
      attention(c_.layers[layer].attention, name, x);
      for (Row& row : x) {
        const Row u = norm(row, name + "post_attention_layernorm");
        const MoeConfig* moe = c_.layers[layer].moe();
        add(row, 1.0, moe == nullptr ? swiglu(u, name + "mlp.") : mixture(*moe, layer, u, name + "mlp."));
      }
    }
    for (Row& row : x) row = norm(row, "model.norm");
    return x;
  }

  void attention(const AttentionConfig& c, const std::string& name, std::vector<Row>& x) const {
    std::vector<Row> q, k, v;
    for (size_t t = 0; t < x.size(); ++t) {
      const Row u = norm(x[t], name + "input_layernorm");
      q.push_back(heads(c, t, linear(u, name + "self_attn.q_proj"), name + "self_attn.q_norm"));
      k.push_back(heads(c, t, linear(u, name + "self_attn.k_proj"), name + "self_attn.k_norm"));
      v.push_back(linear(u, name + "self_attn.v_proj"));
    }
    for (size_t t = 0; t < x.size(); ++t) {
      Row context(static_cast<size_t>(c.output_size()));
      for (int64_t head = 0; head < c.num_heads; ++head) {
        const int64_t shared = head / (c.num_heads / c.num_kv_heads);
        std::vector<size_t> seen;
        Row scores;
        for (size_t s = 0; s <= t; ++s) {
          if (!sees(c.span, static_cast<int64_t>(t), static_cast<int64_t>(s))) continue;
          seen.push_back(s);
          scores.push_back(S(c.scale) * dot(&q[t][static_cast<size_t>(head * c.head_dim)],
                                            &k[s][static_cast<size_t>(shared * c.head_dim)], c.head_dim));
        }
        const Row p = softmax_of(scores);
        for (size_t j = 0; j < seen.size(); ++j)
          for (int64_t i = 0; i < c.value_dim; ++i)
            context[static_cast<size_t>(head * c.value_dim + i)] +=
                p[j] * v[seen[j]][static_cast<size_t>(shared * c.value_dim + i)];
      }
      add(x[t], 1.0, linear(context, name + "self_attn.o_proj"));
    }
  }

  /// Queries or keys of the token at position t: each head normed, if the model does that, and turned.
  Row heads(const AttentionConfig& c, size_t t, Row x, const std::string& norm_name) const {
    const auto dim = static_cast<size_t>(c.head_dim), half = dim / 2;
    for (size_t first = 0; first < x.size(); first += dim) {
      Row head(&x[first], &x[first] + dim);
      if (c.qk_norm == QkNorm::before_rotary) head = norm(head, norm_name);
      for (size_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(t) * frequency(c.rotary, static_cast<int64_t>(i));
        const S cos = stretch(c.rotary) * std::cos(angle), sin = stretch(c.rotary) * std::sin(angle);
        x[first + i] = head[i] * cos - head[i + half] * sin;
        x[first + half + i] = head[i + half] * cos + head[i] * sin;
      }
    }
    return x;
  }

  Row mixture(const MoeConfig& c, size_t layer, const Row& u, const std::string& name) {
    const Row logits = linear(u, name + "gate"), p = softmax_of(logits);
    std::vector<double> values;
    for (const S& logit : logits) values.push_back(value_of(logit));
    const std::vector<int32_t> order = sorted(values);
    const auto k = static_cast<size_t>(c.router.experts_per_token);
    const auto expert = [&](size_t slot) { return static_cast<size_t>(order[slot]); };
    losses_.margin = std::min(losses_.margin, values[expert(k - 1)] - values[expert(k)]);
    S sum = 0;
    for (size_t slot = 0; slot < k; ++slot) sum += p[expert(slot)];
    Row y(u.size());
    for (size_t slot = 0; slot < k; ++slot) {
      const size_t e = expert(slot);
      add(y, c.router.renormalise ? p[e] / sum : p[e], swiglu(u, name + "experts." + std::to_string(e) + "."));
      ++losses_.tokens[layer * logits.size() + e];
    }
    if (c.shared_size > 0) add(y, 1.0, swiglu(u, name + "shared_expert."));
    add(probability_[layer], 1.0, p);
    return y;
  }

  Row swiglu(const Row& u, const std::string& name) const {
    Row h = linear(u, name + "gate_proj");
    const Row up = linear(u, name + "up_proj");
    for (size_t i = 0; i < h.size(); ++i) h[i] = h[i] / (S(1) + exp(-h[i])) * up[i];
    return linear(h, name + "down_proj");
  }

  Row linear(const Row& x, const std::string& module) const {
    const Row& w = w_.at(module + ".weight");
    const auto bias = w_.find(module + ".bias");
    Row y = bias == w_.end() ? Row(w.size() / x.size()) : bias->second;
    for (size_t o = 0; o < y.size(); ++o) y[o] += dot(&w[o * x.size()], x.data(), std::ssize(x));
    return y;
  }
  Row norm(const Row& x, const std::string& module) const {
    const S mean = dot(x.data(), x.data(), std::ssize(x)) / S(static_cast<double>(x.size()));
    const S scale = S(1) / sqrt(mean + S(c_.rms_norm_eps));
    Row y = w_.at(module + ".weight");
    for (size_t i = 0; i < y.size(); ++i) y[i] = y[i] * (x[i] * scale);
    return y;
  }
  static S dot(const S* a, const S* b, int64_t n) {
    S sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
  }
  static void add(Row& x, const S& weight, const Row& y) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += weight * y[i];
  }
  static S log_sum(const Row& x) {
    double top = value_of(x.front());
    for (const S& v : x) top = std::max(top, value_of(v));
    S sum = 0;
    for (const S& v : x) sum += exp(v - S(top));
    return log(sum) + S(top);
  }
  static Row softmax_of(const Row& x) {
    const S log_of_sum = log_sum(x);
    Row p;
    for (const S& v : x) p.push_back(exp(v - log_of_sum));
    return p;
  }

  const ModelConfig& c_;
  const Parameters<S>& w_;
  Losses<S> losses_;
  std::vector<Row> probability_;  ///< [layers][E] summed over all tokens
};

}  // namespace switchyard::reference
