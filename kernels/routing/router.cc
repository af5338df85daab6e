#include "kernels/routing/router.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "kernels/routing/cpu/softmax.h"
#include "kernels/row_blocks.h"

namespace switchyard {

void check_router_top_k(ConstView logits, const RouterRule& rule, ConstView selection_bias, ConstView expert,
                        ConstView weight) {
  const int64_t experts = logits.row_elements(), groups = rule.num_groups, kept = rule.kept_groups;
  SWITCHYARD_CHECK(groups >= 1 && experts % groups == 0 && kept >= 1 && kept <= groups &&
                       expert.row_elements() <= kept * (experts / groups),
                   "router_top_k: {} of {} experts, from {} of {} groups", expert.row_elements(), experts, kept,
                   groups);
  SWITCHYARD_CHECK(expert.rows() == logits.rows() && weight.shape == expert.shape &&
                       (selection_bias.data == nullptr || selection_bias.elements() == experts),
                   "router_top_k: logits {}, selection bias {}, expert {}, weight {}", logits.shape.str(),
                   selection_bias.shape.str(), expert.shape.str(), weight.shape.str());
}

namespace cpu {
namespace {

// Integers in the order of the keys. NaN ranks with +∞: a broken logit is chosen and makes its token's output NaN,
// instead of vanishing.
I32x8 keys_of(F32x8 value) {
  const auto bits = std::bit_cast<I32x8>(value == value ? value + 0.0f : broadcast(kInfinity));  // −0 is 0
  return bits ^ (bits >> 31 & std::numeric_limits<int32_t>::max());
}

float value_of(int32_t key) {
  return std::bit_cast<float>(key ^ (key >> 31 & std::numeric_limits<int32_t>::max()));
}

constexpr int32_t kNone = std::numeric_limits<int32_t>::min();  // below −∞'s key

// The best key of those left, the first of equal ones, which is then struck out. keys: a multiple of kLanes
int32_t take_best(std::vector<int32_t>& keys) {
  const auto load_keys = [&](size_t i) {
    I32x8 v;
    std::memcpy(&v, keys.data() + i, sizeof v);
    return v;
  };
  I32x8 index = {0, 1, 2, 3, 4, 5, 6, 7}, best = load_keys(0), best_index = index;
  for (size_t i = kLanes; i < keys.size(); i += kLanes) {
    const I32x8 key = load_keys(i);
    index += static_cast<int32_t>(kLanes);
    best_index = key > best ? index : best_index;
    best = key > best ? key : best;
  }
  int64_t first = std::numeric_limits<int64_t>::min();  // key, then the smaller index
  for (int lane = 0; lane < kLanes; ++lane)
    first = std::max(first, int64_t{best[lane]} << 32 | static_cast<uint32_t>(~best_index[lane]));
  const int32_t at = ~static_cast<int32_t>(first);
  keys[static_cast<size_t>(at)] = kNone;
  return at;
}

// keys: those of value(i, read) for i < count, in whole lanes.
template <class Value>
void make_keys(int64_t count, const Value& value, std::vector<int32_t>& keys) {
  keys.resize(static_cast<size_t>((count + kLanes - 1) / kLanes * kLanes));
  for_lanes(count, [&](int64_t i, auto read, auto) {
    const I32x8 v = keys_of(value(i, read));
    std::memcpy(keys.data() + i, &v, sizeof v);
  });
  std::fill(keys.begin() + count, keys.end(), kNone);
}

// The largest logit_of(i), i < count; +∞ where one is NaN.
template <class LogitOf>
float highest(int64_t count, const LogitOf& logit_of) {
  float top = -kInfinity;
  for (int64_t i = 0; i < count; ++i) {
    const float logit = logit_of(i);
    top = std::max(top, logit == logit ? logit : kInfinity);
  }
  return top;
}

// Routes one token after the other.
class Router {
 public:
  Router(const RouterRule& rule, const float* bias, int64_t experts, int64_t k)
      : rule_(rule), bias_(bias), experts_(experts), k_(k) {}

  void route(const float* logits, int32_t* expert, float* weight) {
    rank(logits);
    if (rule_.num_groups > 1) drop_groups();
    for (int64_t j = 0; j < k_; ++j) expert[j] = take_best(keys_);
    weigh(logits, expert, weight);
  }

 private:
  void rank(const float* logits) {
    if (bias_ == nullptr) {
      make_keys(
          experts_, [&](int64_t i, auto read) { return read(logits + i); }, keys_);
    } else if (rule_.scores == RouterScores::sigmoid) {
      make_keys(
          experts_, [&](int64_t i, auto read) { return sigmoid(read(logits + i)) + read(bias_ + i); }, keys_);
    } else {
      float top = -kInfinity;  // of the numbers: a broken logit is to come first, not to make all others NaN
      for (int64_t e = 0; e < experts_; ++e)
        if (logits[e] < kInfinity) top = std::max(top, logits[e]);
      const float sum = sum_of_exp(logits, experts_, top);
      make_keys(
          experts_, [&](int64_t i, auto read) { return exp(read(logits + i) - top) / sum + read(bias_ + i); }, keys_);
    }
  }

  // Strikes out the keys of all but the best groups.
  void drop_groups() {
    const int64_t size = experts_ / rule_.num_groups;
    group_values_.clear();
    for (int64_t g = 0; g < rule_.num_groups; ++g) {
      int32_t first = kNone, second = kNone;
      for (const int32_t key : std::span(keys_).subspan(static_cast<size_t>(g * size), static_cast<size_t>(size))) {
        second = std::max(second, std::min(first, key));
        first = std::max(first, key);
      }
      group_values_.push_back(size == 1 ? value_of(first) : value_of(first) + value_of(second));
    }
    make_keys(
        rule_.num_groups, [&](int64_t g, auto read) { return read(group_values_.data() + g); }, group_keys_);
    for (int32_t j = 0; j < rule_.kept_groups; ++j) take_best(group_keys_);
    for (int64_t g = 0; g < rule_.num_groups; ++g)
      if (group_keys_[static_cast<size_t>(g)] != kNone) std::fill_n(keys_.begin() + g * size, size, kNone);
  }

  void weigh(const float* logits, const int32_t* expert, float* weight) const {
    float sum = 0, divisor = 1;
    if (rule_.scores == RouterScores::sigmoid) {
      for (int64_t j = 0; j < k_; ++j) sum += weight[j] = sigmoid_f32(logits[expert[j]]);
      if (rule_.renormalise) divisor = sum + kRenormaliseEpsilon;
    } else {
      float top = logits[expert[0]];  // the largest, where logits alone decide
      if (bias_ != nullptr || rule_.num_groups > 1)
        top = rule_.renormalise ? highest(k_, [&](int64_t j) { return logits[expert[j]]; })
                                : highest(experts_, [&](int64_t i) { return logits[i]; });
      for (int64_t j = 0; j < k_; ++j) sum += weight[j] = exp_f32(logits[expert[j]] - top);
      divisor = rule_.renormalise ? sum : sum_of_exp(logits, experts_, top);
    }
    for (int64_t j = 0; j < k_; ++j) weight[j] = weight[j] / divisor * rule_.scale;
  }

  const RouterRule& rule_;
  const float* bias_;  // null: none
  const int64_t experts_, k_;
  std::vector<int32_t> keys_, group_keys_;
  std::vector<float> group_values_;
};

}  // namespace

void router_top_k(const Stream& stream, ConstView logits, const RouterRule& rule, ConstView selection_bias, View expert,
                  View weight) {
  check_router_top_k(logits, rule, selection_bias, expert, weight);
  const int64_t experts = logits.row_elements(), k = expert.row_elements();
  const auto *in = logits.as<float>(), *bias = selection_bias.as<float>();
  auto* chosen = expert.as<int32_t>();
  auto* weights = weight.as<float>();
  for_row_blocks(stream, logits.rows(), [&](int64_t first, int64_t count) {
    Router router(rule, bias, experts, k);
    for (int64_t t = first; t < first + count; ++t) router.route(in + t * experts, chosen + t * k, weights + t * k);
  });
}

}  // namespace cpu
}  // namespace switchyard
