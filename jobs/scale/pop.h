// POP's factors of a point (pop-coe.eu/node/69), and what routing has to do with them.
#pragma once

#include <string>
#include <vector>

#include "jobs/scale/point_record.h"

namespace switchyard {

/// Of the steady state: neither load nor finish.
struct PopFactors {
  double load_balance = 1;              ///< mean over largest useful time of the ranks
  double communication_efficiency = 1;  ///< largest useful time over runtime
  double parallel_efficiency() const { return load_balance * communication_efficiency; }
  // Shares of the ranks' time together; with `other` they are 1.
  double useful = 0, wait = 0, transfer = 0, overhead = 0, other = 0;
};
PopFactors pop_factors(const PointRecord& record);

/// Who has how much of the experts' work.
struct RoutingShares {
  int experts_per_rank = 0;  ///< of a group of `ep`, the most
  double tokens_per_expert = 0;
  double expert_imbalance = 1;  ///< in the layer where it is largest: busiest expert over the mean
  int worst_layer = -1;
  std::vector<double> layer_imbalance;  ///< [layers] busiest rank over the mean, by the experts it hosts; 1: dense
  double expected_remote = 0;           ///< 1 − 1/ep: of assignments, were all experts chosen alike
  double remote = 0;                    ///< as it was
};
RoutingShares routing_shares(const PointRecord& record);

struct HotExpert {
  int layer = 0, expert = 0;
  double times_mean = 1;  ///< its tokens over the layer's mean
};
/// The busiest experts of those that a rank hosts, the hottest first.
std::vector<HotExpert> hottest_experts(const PointRecord& record, int rank, size_t count);

/// Plain sentences about what holds this point back, the most important first; base: the smallest point of its study.
std::vector<std::string> scaling_advice(const PointRecord& record, const PointRecord& base);

}  // namespace switchyard
