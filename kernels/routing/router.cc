#include "kernels/routing/router.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/cpu/vector_math.h"
#include "kernels/row_blocks.h"

namespace switchyard::cpu {
namespace {

// Integers in the order of the logits. NaN ranks with +∞: a broken logit is chosen and makes its token's output NaN,
// instead of vanishing.
I32x8 keys_of(F32x8 logit) {
  const auto bits = std::bit_cast<I32x8>(logit == logit ? logit + 0.0f : broadcast(kInfinity));  // −0 is 0
  return bits ^ (bits >> 31 & std::numeric_limits<int32_t>::max());
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

// The k best in the order (logit descending, index ascending).
void select_best(const float* logits, int64_t experts, int64_t k, std::vector<int32_t>& keys, int32_t* best) {
  keys.resize(static_cast<size_t>((experts + kLanes - 1) / kLanes * kLanes));
  for_lanes(experts, [&](int64_t i, auto read, auto) {
    const I32x8 v = keys_of(read(logits + i));
    std::memcpy(keys.data() + i, &v, sizeof v);
  });
  for (int64_t e = experts; e < std::ssize(keys); ++e) keys[static_cast<size_t>(e)] = kNone;
  for (int64_t j = 0; j < k; ++j) best[j] = take_best(keys);
}

// Σ e^(logit − top): the softmax over all experts, when the chosen ones do not share the weight among themselves.
float sum_of_exp(const float* logits, int64_t experts, float top) {
  F32x8 lanes = broadcast(0);
  int64_t i = 0;
  for (; i + kLanes <= experts; i += kLanes) lanes += exp(load(logits + i) - broadcast(top));
  if (i < experts) lanes += exp(load_part(logits + i, experts - i, -kInfinity) - broadcast(top));
  return sum_of_lanes(lanes);
}

}  // namespace

void router_top_k(const Stream& stream, ConstView logits, bool renormalise, View expert, View weight) {
  const int64_t tokens = logits.rows(), experts = logits.row_elements(), k = expert.row_elements();
  SWITCHYARD_CHECK(k <= experts && expert.rows() == tokens && weight.shape == expert.shape,
                   "router_top_k: logits {}, expert {}, weight {}", logits.shape.str(), expert.shape.str(),
                   weight.shape.str());
  const auto* in = logits.as<float>();
  auto* chosen = expert.as<int32_t>();
  auto* weights = weight.as<float>();
  for_row_blocks(stream, tokens, [&](int64_t first, int64_t count) {
    std::vector<int32_t> keys;
    for (int64_t t = first; t < first + count; ++t) {
      const float* row = in + t * experts;
      int32_t* e = chosen + t * k;
      float* w = weights + t * k;
      select_best(row, experts, k, keys, e);
      float sum = 0;
      for (int64_t j = 0; j < k; ++j) sum += w[j] = exp_f32(row[e[j]] - row[e[0]]);
      if (!renormalise) sum = sum_of_exp(row, experts, row[e[0]]);
      for (int64_t j = 0; j < k; ++j) w[j] /= sum;
    }
  });
}

}  // namespace switchyard::cpu
