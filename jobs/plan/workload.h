// What a year of work costs, on one's own nodes, on rented GPUs, and at an API's prices.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "jobs/prediction/prediction.h"

namespace switchyard {

/// workload.cfg: lines of name = value.
struct Workload {
  double tokens_per_night = 0, updates_per_month = 0;
  double update_node_hours = 0;          ///< of one update, where plan is about scoring
  double scoring_tokens_per_second = 0;  ///< of all nodes, where plan is about training
  std::optional<double> node_hour_price, gpu_hour_price, api_price_per_million_tokens,
      api_training_price_per_million_tokens;
  double gpu_tokens_per_second = 0;  ///< of one rented GPU that scores
  double gpu_update_hours = 0;       ///< of one update, on one rented GPU
  double update_tokens = 0;          ///< that an update learns from, for the API
  std::string currency = "EUR";
};

/// Fails (usage) naming the file and the line, or a price that has no hours or tokens to be paid.
Workload read_workload(const std::filesystem::path& path, bool training);

struct CostRow {
  std::string where, what;  ///< "own nodes", "scoring"
  double hours = 0;         ///< of nodes, or GPUs; 0: paid by the token
  double tokens = 0;
  double cost = 0;  ///< of a year
};
/// best: of the layout that is taken. training: whether it is of an update, or of a night.
std::vector<CostRow> costs_of_year(const Workload& workload, const Prediction& best, bool training);

std::string costs_csv(const Workload& workload, std::span<const CostRow> rows);

}  // namespace switchyard
