// What a plan says: a table of layouts, the cheapest and the fastest, a year's costs; as text, CSV, JSON and a page.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "jobs/plan/workload.h"

namespace switchyard {

struct PlanTable {
  struct Row {
    int64_t nodes = 1;
    std::vector<std::string> values = {};  ///< of what is varied beside nodes
    std::optional<Prediction> prediction = {};
    std::string refusal = {};  ///< why there is none
    bool is_possible() const { return prediction.has_value(); }
  };
  std::string job, profile;
  ProfiledMachine machine;
  std::vector<Row> rows;
  std::vector<std::string> over = {};   ///< what is
  std::optional<double> deadline = {};  ///< seconds
  std::optional<Workload> workload = {};
  std::vector<CostRow> costs = {};
  std::vector<std::string> notes = {};

  /// Of those that keep the deadline, if any does, else of all.
  const Row* cheapest() const;
  const Row* fastest() const;
  /// What a row has of what is varied: "ep 2, dtype bf16".
  std::string varied(const Row& row) const;
  bool keeps_deadline(const Row& row) const { return !deadline || row.prediction->seconds() <= *deadline; }
};

std::string table_text(const PlanTable& table);
std::string plan_csv(const PlanTable& table);
std::string plan_page(const PlanTable& table);
Json to_json(const PlanTable& table);

}  // namespace switchyard
