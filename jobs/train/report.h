// report.html: what a person opens when a training run is complete.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "jobs/records/phase_table.h"
#include "jobs/train/export_log.h"
#include "jobs/train/history.h"

namespace switchyard {

struct TrainSummary {
  StepHistory steps = {};
  std::vector<AttemptHistory> attempts = {};
  std::vector<PhaseRow> phases = {};         ///< of the last attempt, over its ranks
  int64_t layers = 0, num_experts = 0;       ///< layers with experts
  std::vector<int64_t> expert_tokens = {};   ///< [layers, experts] of all steps
  int64_t rejects = 0;                       ///< records that could not be learnt from
  std::optional<ChangeCounts> changes = {};  ///< of the model that the run began with
};

/// The last losses, and how long it took: for the log.
std::vector<std::string> summary_lines(const TrainSummary& summary);

/// A page that stands alone. plan: lines of "what: how".
std::string train_report_html(const std::vector<std::string>& plan, const TrainSummary& summary);

}  // namespace switchyard
