// What training minimises, of a whole model of any family: a token, a row, a formula at a time,
// over double or over numbers that carry derivatives (dual.h). Only a configuration's numbers come from the program.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
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

  void attention(const AttentionConfig& c, const std::string& layer, std::vector<Row>& x) const {
    const std::string name = layer + "self_attn.";
    std::vector<Row> q, k, v;
    for (size_t t = 0; t < x.size(); ++t) {
      const Row u = norm(x[t], layer + "input_layernorm");
      if (c.latent() == nullptr) {
        q.push_back(heads(c, t, linear(u, name + "q_proj"), name + "q_norm"));
        k.push_back(heads(c, t, linear(u, name + "k_proj"), name + "k_norm"));
        v.push_back(linear(u, name + "v_proj"));
      } else {
        const bool direct = c.latent()->query_rank == 0;
        q.push_back(
            heads(c, t,
                  direct ? linear(u, name + "q_proj")
                         : linear(norm(linear(u, name + "q_a_proj"), name + "q_a_layernorm", 1e-6), name + "q_b_proj"),
                  ""));
        add_latent_keys_and_values(c, t, u, name, k, v);
      }
      if (c.temperature.scale != 0)
        for (S& value : q.back())
          value = value * S(1 + c.temperature.scale *
                                    std::log(1 + std::floor(static_cast<double>(t + 1) / c.temperature.floor)));
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
        if (c.sinks) scores.push_back(w_.at(name + "sinks")[static_cast<size_t>(head)]);
        const Row p = softmax_of(scores);
        for (size_t j = 0; j < seen.size(); ++j)
          for (int64_t i = 0; i < c.value_dim; ++i)
            context[static_cast<size_t>(head * c.value_dim + i)] +=
                p[j] * v[seen[j]][static_cast<size_t>(shared * c.value_dim + i)];
      }
      add(x[t], 1.0, linear(context, name + "o_proj"));
    }
  }

  /// A head's plain part of the key and its value from the latent; the turned part is shared by all heads.
  void add_latent_keys_and_values(const AttentionConfig& c, size_t t, const Row& u, const std::string& name,
                                  std::vector<Row>& k, std::vector<Row>& v) const {
    const Row shared = linear(u, name + "kv_a_proj_with_mqa");
    const Row latent(shared.begin(), shared.begin() + c.latent()->kv_rank);
    const Row of_heads = linear(norm(latent, name + "kv_a_layernorm", 1e-6), name + "kv_b_proj");
    Row turned(shared.begin() + c.latent()->kv_rank, shared.end());
    turn(c, t, &turned[0]);
    k.emplace_back(), v.emplace_back();
    auto at = of_heads.begin();
    for (int64_t head = 0; head < c.num_heads; ++head) {
      k.back().insert(k.back().end(), at, at + c.rotary.first);
      k.back().insert(k.back().end(), turned.begin(), turned.end());
      at += c.rotary.first;
      v.back().insert(v.back().end(), at, at + c.value_dim);
      at += c.value_dim;
    }
  }

  /// Queries or keys of the token at position t: each head normed and turned, as the model does it.
  Row heads(const AttentionConfig& c, size_t t, Row x, const std::string& norm_name) const {
    const auto dim = static_cast<size_t>(c.head_dim);
    for (size_t first = 0; first < x.size(); first += dim) {
      Row head(&x[first], &x[first] + dim);
      if (c.qk_norm == QkNorm::before_rotary) head = norm(head, norm_name);
      turn(c, t, &head[static_cast<size_t>(c.rotary.first)]);
      if (c.qk_norm == QkNorm::after_rotary) head = norm(head, "");
      std::ranges::copy(head, &x[first]);
    }
    return x;
  }

  /// The dimensions that turn.
  void turn(const AttentionConfig& c, size_t t, S* x) const {
    const int64_t pairs = c.rotary.dim / 2;
    const bool adjacent = c.rotary.pairs == RotaryPairs::adjacent;
    for (int64_t i = 0; i < pairs; ++i) {
      const double angle = static_cast<double>(t) * frequency(c.rotary, i);
      const S cos = stretch(c.rotary) * std::cos(angle), sin = stretch(c.rotary) * std::sin(angle);
      S &a = x[adjacent ? 2 * i : i], &b = x[adjacent ? 2 * i + 1 : i + pairs];
      const S from_a = a, from_b = b;
      a = from_a * cos - from_b * sin;
      b = from_b * cos + from_a * sin;
    }
  }

  /// The experts with the largest keys, of the best groups if there are groups.
  std::vector<int32_t> choose(const RouterConfig& c, const std::vector<double>& keys) {
    const size_t size = keys.size() / static_cast<size_t>(c.num_groups), k = static_cast<size_t>(c.experts_per_token);
    std::vector<double> groups;
    for (size_t first = 0; first < keys.size(); first += size) {
      std::vector<double> some(keys.begin() + static_cast<int64_t>(first),
                               keys.begin() + static_cast<int64_t>(first + size));
      std::ranges::sort(some, std::greater<>());
      groups.push_back(size == 1 ? some[0] : some[0] + some[1]);
    }
    const std::vector<int32_t> best = sorted(groups);
    if (c.kept_groups < c.num_groups)
      losses_.margin =
          std::min(losses_.margin, groups[static_cast<size_t>(best[static_cast<size_t>(c.kept_groups - 1)])] -
                                       groups[static_cast<size_t>(best[static_cast<size_t>(c.kept_groups)])]);
    std::vector<int32_t> chosen;
    for (const int32_t e : sorted(keys))
      if (std::find(best.begin(), best.begin() + c.kept_groups, e / static_cast<int32_t>(size)) !=
          best.begin() + c.kept_groups)
        chosen.push_back(e);
    if (chosen.size() > k)
      losses_.margin =
          std::min(losses_.margin, keys[static_cast<size_t>(chosen[k - 1])] - keys[static_cast<size_t>(chosen[k])]);
    chosen.resize(k);
    return chosen;
  }

  Row mixture(const MoeConfig& c, size_t layer, const Row& u, const std::string& name) {
    const bool sigmoid = c.router.scores == RouterScores::sigmoid;
    const Row logits = linear(u, name + "gate");
    Row scores = softmax_of(logits), p = scores;
    if (sigmoid) {
      S sum = 0;
      for (size_t e = 0; e < logits.size(); ++e) sum += scores[e] = S(1) / (S(1) + exp(-logits[e]));
      for (size_t e = 0; e < logits.size(); ++e) p[e] = scores[e] / sum;
    }
    std::vector<double> keys;
    for (size_t e = 0; e < logits.size(); ++e)
      keys.push_back(c.router.selection_bias
                         ? value_of(scores[e]) + value_of(w_.at(name + "gate.e_score_correction_bias")[e])
                         : value_of(logits[e]));
    const std::vector<int32_t> chosen = choose(c.router, keys);
    S sum = 0;
    for (const int32_t e : chosen) sum += scores[static_cast<size_t>(e)];
    Row y(u.size());
    for (const int32_t chosen_expert : chosen) {
      const auto e = static_cast<size_t>(chosen_expert);
      const S weight = S(c.router.scale) * (c.router.renormalise ? scores[e] / sum : scores[e]);
      const std::string expert = name + "experts." + std::to_string(e) + ".";
      if (c.scaled_input) {
        Row scaled(u.size());
        add(scaled, weight, u);
        add(y, 1.0, swiglu(scaled, expert, c.activation));
      } else {
        add(y, weight, swiglu(u, expert, c.activation));
      }
      ++losses_.tokens[layer * logits.size() + e];
    }
    if (c.shared_size > 0) add(y, 1.0, swiglu(u, name + "shared_expert.", c.activation));
    add(probability_[layer], 1.0, p);
    return y;
  }

  Row swiglu(const Row& u, const std::string& name, const GatedActivation& activation = {}) const {
    Row h = linear(u, name + "gate_proj");
    const Row up = linear(u, name + "up_proj");
    for (size_t i = 0; i < h.size(); ++i) {
      if (!activation.clamped) {
        h[i] = h[i] / (S(1) + exp(-h[i])) * up[i];
        continue;
      }
      const S gate = value_of(h[i]) > activation.limit ? S(activation.limit) : h[i];
      const S bounded =
          std::abs(value_of(up[i])) > activation.limit ? S(std::copysign(activation.limit, value_of(up[i]))) : up[i];
      h[i] = (bounded + S(1)) * gate / (S(1) + exp(S(-activation.alpha) * gate));
    }
    return linear(h, name + "down_proj");
  }

  Row linear(const Row& x, const std::string& module) const {
    const Row& w = w_.at(module + ".weight");
    const auto bias = w_.find(module + ".bias");
    Row y = bias == w_.end() ? Row(w.size() / x.size()) : bias->second;
    for (size_t o = 0; o < y.size(); ++o) y[o] += dot(&w[o * x.size()], x.data(), std::ssize(x));
    return y;
  }
  /// module: "": without weights
  Row norm(const Row& x, const std::string& module, double eps = 0) const {
    const S mean = dot(x.data(), x.data(), std::ssize(x)) / S(static_cast<double>(x.size()));
    const S scale = S(1) / sqrt(mean + S(eps > 0 ? eps : c_.rms_norm_eps));
    Row y = module.empty() ? Row(x.size(), S(1)) : w_.at(module + ".weight");
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
