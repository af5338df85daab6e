// A checkpoint scored end to end by ranks that are threads: everything the model layer does, without a job around it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/memory.h"
#include "exchange/exchange.h"
#include "model/engine.h"
#include "tests/support/expected_scores.h"
#include "tests/support/placements.h"

namespace switchyard::test {

struct ScoringRun {
  DType operand = DType::f32;
  int num_ranks = 1;
  int num_threads = 1;            ///< of each rank
  int64_t records_per_batch = 4;  ///< consecutive ones; batches go to the ranks in turn
  int64_t exchange_bytes = int64_t{1} << 20;
  int micro_batches = 1;
  MakePlacement placement = ExpertPlacement::blocks;
  std::vector<ExchangeCounters>* counters = nullptr;  ///< [ranks], where to put theirs
  Device device = Device::cpu;                        ///< rank r computes on device r, as far as there are so many
};

struct RecordScores {
  std::vector<float> logprob;   ///< of the tokens after the context
  std::vector<int32_t> argmax;  ///< there
  std::vector<float> states;    ///< [tokens, hidden] after the final norm
};

std::vector<RecordScores> score_records(const std::filesystem::path& model, const std::vector<Record>& records,
                                        const ScoringRun& run);

/// The same with weights from elsewhere.
std::vector<RecordScores> score_records(const ModelConfig& config, const WeightSource& weights,
                                        const std::vector<Record>& records, const ScoringRun& run);

/// The first record and field in which the bits differ, or "".
std::string first_difference(const std::vector<RecordScores>& a, const std::vector<RecordScores>& b);

}  // namespace switchyard::test
