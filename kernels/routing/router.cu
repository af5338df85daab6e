#include <climits>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/warp.h"
#include "kernels/routing/router.h"

namespace switchyard::cuda {
namespace {

constexpr int kWarps = 4;  // of a block, a token each

/// The order of choice: by value, then by lowest index. NaN ranks with infinity, as on the CPU.
struct Choice {
  float value;
  int expert;
};

__device__ bool comes_before(const Choice& a, const Choice& b) {
  return a.value > b.value || (a.value == b.value && a.expert < b.expert);
}

__device__ float rank_of(float logit) {
  return logit != logit ? INFINITY : logit;
}

__device__ Choice first_of_warp(Choice mine) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const Choice other{__shfl_xor_sync(kAllLanes, mine.value, offset), __shfl_xor_sync(kAllLanes, mine.expert, offset)};
    if (comes_before(other, mine)) mine = other;
  }
  return mine;
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

/// A warp a token. Each round takes the first choice that comes after the last one taken. What belongs to slot j is
/// written, and read again, by lane j mod 32 alone.
template <int kPerLane>
__global__ void router_top_k_kernel(const float* logits, bool renormalise, int64_t tokens, int experts, int k,
                                    int32_t* expert, float* weight) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t token = int64_t{blockIdx.x} * kWarps + warp;
  if (token >= tokens) return;  // the whole warp
  const float* row = logits + token * experts;
  const LaneLogits<kPerLane> mine(row, experts, lane);

  Choice last{INFINITY, -1};
  float top = 0, sum = 0;
  for (int j = 0; j < k; ++j) {
    Choice best{-INFINITY, INT_MAX};
    mine.for_each([&](int e, float logit) {
      const Choice candidate{rank_of(logit), e};
      if (comes_before(last, candidate) && comes_before(candidate, best)) best = candidate;
    });
    last = first_of_warp(best);
    const float logit = row[last.expert];
    if (j == 0) top = logit;
    const float share = expf(logit - top);
    sum += share;
    if (lane == j % kWarp) {
      expert[token * k + j] = last.expert;
      weight[token * k + j] = share;
    }
  }
  if (!renormalise) {
    sum = 0;
    mine.for_each([&](int, float logit) { sum += expf(logit - top); });
    sum = warp_sum(sum);
  }
  for (int j = lane; j < k; j += kWarp) weight[token * k + j] /= sum;
}

}  // namespace

void router_top_k(const Stream& stream, ConstView logits, bool renormalise, View expert, View weight) {
  const int64_t tokens = logits.rows(), experts = logits.row_elements(), k = expert.row_elements();
  SWITCHYARD_CHECK(k <= experts && experts < INT_MAX && expert.rows() == tokens && weight.shape == expert.shape,
                   "router_top_k: logits {}, expert {}, weight {}", logits.shape.str(), expert.shape.str(),
                   weight.shape.str());
  const auto with = [&](auto* kernel) {
    launch(stream, {blocks_for(tokens, kWarps), kWarps * kWarp}, kernel, logits.as<float>(), renormalise, tokens,
           static_cast<int>(experts), static_cast<int>(k), expert.as<int32_t>(), weight.as<float>());
  };
  if (experts <= 4 * kWarp)
    with(router_top_k_kernel<4>);
  else if (experts <= 16 * kWarp)
    with(router_top_k_kernel<16>);
  else
    with(router_top_k_kernel<0>);
}

}  // namespace switchyard::cuda
