#include <climits>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/warp.h"
#include "kernels/routing/router.h"

namespace switchyard::cuda {
namespace {

constexpr int kTokensOfBlock = 4;  // a warp each

/// The order of choice: by value, then by lowest index. NaN ranks with infinity, as on the CPU.
struct Choice {
  float value;
  int number;  // of an expert, or of a group
};

__device__ bool comes_before(const Choice& a, const Choice& b) {
  return a.value > b.value || (a.value == b.value && a.number < b.number);
}

__device__ float rank_of(float value) {
  return value != value ? INFINITY : value;
}

__device__ Choice first_of_warp(Choice mine) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const Choice other{__shfl_xor_sync(kAllLanes, mine.value, offset), __shfl_xor_sync(kAllLanes, mine.number, offset)};
    if (comes_before(other, mine)) mine = other;
  }
  return mine;
}

/// Of all lanes' candidates the first that comes after the last one taken. visit_all(visit): visit(rank, number) for
/// each of this lane's.
template <class VisitAll>
__device__ Choice next_choice(const Choice& last, const VisitAll& visit_all) {
  Choice best{-INFINITY, INT_MAX};
  visit_all([&](float rank, int number) {
    const Choice candidate{rank, number};
    if (comes_before(last, candidate) && comes_before(candidate, best)) best = candidate;
  });
  return first_of_warp(best);
}

/// One lane's share of a token's logits, experts lane, lane + 32, …: in registers when there are at most kPerLane, read
/// again and again when kPerLane is 0. The bits are the same.
template <int kPerLane>
class LaneLogits {
 public:
  __device__ LaneLogits(const float* row, int experts, int lane) : row_(row), experts_(experts), lane_(lane) {
    for (int i = 0; i < kPerLane; ++i) kept_[i] = lane + i * kWarp < experts ? row[lane + i * kWarp] : 0;
  }
  /// visit(expert, logit), in ascending order.
  template <class Visit>
  __device__ void for_each(const Visit& visit) const {
    if constexpr (kPerLane > 0) {
      for (int i = 0; i < kPerLane; ++i)
        if (lane_ + i * kWarp < experts_) visit(lane_ + i * kWarp, kept_[i]);
    } else {
      for (int e = lane_; e < experts_; e += kWarp) visit(e, row_[e]);
    }
  }

 private:
  const float* row_;
  int experts_, lane_;
  float kept_[kPerLane > 0 ? kPerLane : 1];
};

struct Routing {
  const float *logits, *bias;  // bias: null: none
  RouterRule rule;
  int64_t tokens;
  int experts, k;
  int32_t* expert;
  float* weight;
};

// In both kernels a warp has a token, and what belongs to slot j is written, and read again, by lane j mod 32 alone.

/// Plain softmax: logits decide, and the first is the largest of all.
template <int kPerLane>
__global__ void router_top_k_kernel(Routing r) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t token = int64_t{blockIdx.x} * kTokensOfBlock + warp;
  if (token >= r.tokens) return;  // the whole warp
  const float* row = r.logits + token * r.experts;
  const LaneLogits<kPerLane> mine(row, r.experts, lane);
  int32_t* expert = r.expert + token * r.k;
  float* weight = r.weight + token * r.k;

  Choice last{INFINITY, -1};
  float top = 0, sum = 0;
  for (int j = 0; j < r.k; ++j) {
    last = next_choice(
        last, [&](const auto& visit) { mine.for_each([&](int e, float logit) { visit(rank_of(logit), e); }); });
    const float logit = row[last.number];
    if (j == 0) top = logit;
    const float share = expf(logit - top);
    sum += share;
    if (lane == j % kWarp) {
      expert[j] = last.number;
      weight[j] = share;
    }
  }
  if (!r.rule.renormalise) {
    sum = 0;
    mine.for_each([&](int, float logit) { sum += expf(logit - top); });
    sum = warp_sum(sum);
  }
  for (int j = lane; j < r.k; j += kWarp) weight[j] = weight[j] / sum * r.rule.scale;
}

/// Comes neither before nor after anything.
constexpr float kDropped = NAN;

/// All keys but those of the best groups become kDropped. groups: a value each
__device__ void drop_groups(const RouterRule& rule, const SharedArray<float>& keys, const SharedArray<float>& groups,
                            int lane) {
  const int size = keys.size() / rule.num_groups;
  for (int g = lane; g < rule.num_groups; g += kWarp) {
    float first = -INFINITY, second = -INFINITY;
    for (int e = g * size; e < (g + 1) * size; ++e) {
      const float key = keys[e];
      second = fmaxf(second, fminf(first, key));
      first = fmaxf(first, key);
    }
    groups[g] = size == 1 ? first : rank_of(first + second);
  }
  __syncwarp();
  Choice last{INFINITY, -1};
  for (int j = 0; j < rule.kept_groups; ++j)
    last = next_choice(last, [&](const auto& visit) {
      for (int g = lane; g < rule.num_groups; g += kWarp) visit(groups[g], g);
    });
  for (int e = lane; e < keys.size(); e += kWarp) {
    const Choice group{groups[e / size], e / size};
    if (comes_before(last, group)) keys[e] = kDropped;
  }
}

__device__ float sigmoid_of(float x) {
  const float small = expf(x < 0 ? x : -x);
  return (x < 0 ? small : 1) / (small + 1);
}

/// What softmax over all of a token's logits divides by, and what it subtracts before. Of the numbers among them: a
/// broken logit is to come first, not to make all others NaN.
struct Softmax {
  float top = -INFINITY, sum = 0;
};

__device__ Softmax softmax_of(const float* row, int experts, int lane) {
  Softmax s;
  for (int e = lane; e < experts; e += kWarp)
    if (row[e] < INFINITY) s.top = fmaxf(s.top, row[e]);
  s.top = warp_max(s.top);
  for (int e = lane; e < experts; e += kWarp)
    if (row[e] < INFINITY) s.sum += expf(row[e] - s.top);
  s.sum = warp_sum(s.sum);
  return s;
}

constexpr int kMostKeys = 4096;  // in shared memory, of each of a block's tokens

/// The other rules, by keys in shared memory.
__global__ void router_by_keys_kernel(Routing r) {
  SharedMemory shared;
  const auto all_keys = shared.take<float>(kTokensOfBlock * r.experts),
             all_groups = shared.take<float>(kTokensOfBlock * r.rule.num_groups);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t token = int64_t{blockIdx.x} * kTokensOfBlock + warp;
  if (token >= r.tokens) return;  // the whole warp
  const auto keys = all_keys.part(warp * r.experts, r.experts);
  const float* row = r.logits + token * r.experts;
  int32_t* expert = r.expert + token * r.k;
  float* weight = r.weight + token * r.k;

  const bool sigmoid = r.rule.scores == RouterScores::sigmoid;
  const Softmax softmax = sigmoid ? Softmax() : softmax_of(row, r.experts, lane);
  const auto score_of = [&](float logit) {
    return sigmoid ? sigmoid_of(logit) : expf(logit - softmax.top) / softmax.sum;
  };
  for (int e = lane; e < r.experts; e += kWarp)
    keys[e] = rank_of(r.bias != nullptr ? score_of(row[e]) + r.bias[e] : row[e]);
  __syncwarp();
  if (r.rule.num_groups > 1)
    drop_groups(r.rule, keys, all_groups.part(warp * r.rule.num_groups, r.rule.num_groups), lane);

  Choice last{INFINITY, -1};
  float top = -INFINITY;  // of the chosen
  for (int j = 0; j < r.k; ++j) {
    last = next_choice(last, [&](const auto& visit) {
      for (int e = lane; e < r.experts; e += kWarp) visit(keys[e], e);
    });
    top = fmaxf(top, rank_of(row[last.number]));
    if (lane == j % kWarp) expert[j] = last.number;
  }
  float sum = 0;
  for (int j = lane; j < r.k; j += kWarp) {
    const float logit = row[expert[j]];
    weight[j] = sigmoid || !r.rule.renormalise ? score_of(logit) : expf(logit - top);
    sum += weight[j];
  }
  sum = warp_sum(sum);
  const float divisor = !r.rule.renormalise ? 1 : sigmoid ? sum + kRenormaliseEpsilon : sum;
  for (int j = lane; j < r.k; j += kWarp) weight[j] = weight[j] / divisor * r.rule.scale;
}

}  // namespace

static void run_router_top_k(const Stream& stream, ConstView logits, const RouterRule& rule, ConstView selection_bias,
                             View expert, View weight) {
  check_router_top_k(logits, rule, selection_bias, expert, weight);
  const int64_t tokens = logits.rows(), experts = logits.row_elements(), k = expert.row_elements();
  SWITCHYARD_CHECK(experts < INT_MAX, "router_top_k: {} experts", experts);
  const Routing routing{
      logits.as<float>(),   selection_bias.as<float>(), rule, tokens, static_cast<int>(experts), static_cast<int>(k),
      expert.as<int32_t>(), weight.as<float>()};
  const LaunchShape shape{blocks_for(tokens, kTokensOfBlock), kTokensOfBlock * kWarp};
  if (rule.scores != RouterScores::softmax || rule.num_groups > 1 || routing.bias != nullptr) {
    SWITCHYARD_CHECK(experts <= kMostKeys, "router_top_k: {} experts, at most {} with such a rule", experts, kMostKeys);
    const SharedLayout shared =
        SharedLayout().add<float>(kTokensOfBlock * experts).add<float>(kTokensOfBlock * rule.num_groups);
    launch(stream, {shape.grid, shape.threads, shared.bytes()}, router_by_keys_kernel, routing);
  } else if (experts <= 4 * kWarp) {
    launch(stream, shape, router_top_k_kernel<4>, routing);
  } else if (experts <= 16 * kWarp) {
    launch(stream, shape, router_top_k_kernel<16>, routing);
  } else {
    launch(stream, shape, router_top_k_kernel<0>, routing);
  }
}
CudaOp<RouterTopKFn> router_top_k = run_router_top_k;

}  // namespace switchyard::cuda
