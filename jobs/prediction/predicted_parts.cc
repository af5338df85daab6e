#include "jobs/prediction/predicted_parts.h"

#include <algorithm>

#include "model/checkpoint/loader.h"
#include "plan/works.h"

namespace switchyard {

double predict_load(PriceList& prices, const ModelConfig& config, DType operand, int ep, uint64_t model_bytes,
                    bool trained) {
  const auto weights = [&](int experts) {
    return static_cast<double>(predict_weight_bytes(config, DType::bf16, experts, 1).resident);
  };
  const int hosted = (config.num_experts() + ep - 1) / ep;
  const double share = weights(hosted) / weights(config.num_experts());
  return prices.seconds_of(work_of_load(operand, static_cast<double>(model_bytes) * share, trained));
}

double predict_commit(PriceList& prices, double bytes) {
  return prices.seconds_of(work_of_commit(bytes));
}

double predict_by_operations(const Profile& profile, const PlannedLayout& layout, DType operand, double operations,
                             int ranks) {
  double best = 0;
  for (const LayoutRates& l : profile.layouts) {
    if (l.hosts > 1 || l.ranks_on_host != layout.ranks_on_host || l.threads != layout.threads) continue;
    for (const auto& [key, table] : l.rates.tables())
      if (key.second == operand && (key.first == "gemm" || key.first == "grouped_ffn"))
        for (const RateSample& sample : table.samples()) best = std::max(best, sample.amount / sample.seconds);
  }
  return best > 0 ? operations / best / ranks : 0;
}

}  // namespace switchyard
