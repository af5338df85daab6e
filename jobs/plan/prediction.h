// What a run will take, before it runs: from a machine's profile, and what the code itself says it will do.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/input.h"
#include "jobs/score/plan.h"
#include "jobs/train/train_plan.h"
#include "plan/listed_steps.h"
#include "plan/price_list.h"

namespace switchyard {

struct Prediction {
  int64_t nodes = 1;
  int ranks = 1, ep = 1, threads = 1;
  DType operand = DType::f32;
  int64_t tokens = 0;
  double load = 0, work = 0, finish = 0;  ///< seconds: the model read, batches or steps, results or the model written
  double checkpoints = 0;                 ///< of the work, with shards: files committed
  double exchange_share = 0;              ///< of the work, on the way between ranks
  double idle_share = 0;                  ///< of the work, waiting for slower ranks
  double flop_seconds = 0;                ///< of the work, if all of it were products at the best rate that was seen
  size_t memory = 0, memory_bound = 0;    ///< bytes of a rank
  std::vector<std::string> notes = {};

  double seconds() const { return load + work + finish; }
  double tokens_per_second() const { return work > 0 ? static_cast<double>(tokens) / work : 0; }
  double node_hours() const { return static_cast<double>(nodes) * seconds() / 3600; }
  /// What takes most of it: "computing", "the exchange", "waiting for the slowest rank", "reading the model", …
  std::string limit() const;
};
Json to_json(const Prediction& prediction);
/// In a line, for the log.
std::string describe(const Prediction& prediction);

/// Lengths of some records of what is read, in order.
using RecordLengths = std::function<std::vector<PlannedRecord>(int64_t first, int64_t count)>;
RecordLengths lengths_of(const ScoringInput& input, int64_t max_positions);
/// Where no more is known than this.
RecordLengths even_lengths(const InputSize& size);

/// share: as ScoringSteps has it. nodes: that the plan's ranks are on. model_bytes: of the stored model
Prediction predict_scoring(const ScorePlan& plan, const RecordLengths& lengths, const Profile& profile,
                           const std::vector<double>& share, int64_t step_seconds, uint64_t model_bytes);

/// What a training run learns from.
struct PlannedData {
  DataOrder order;
  std::vector<std::vector<PlannedRecord>> records;  ///< [datasets][records]
  int64_t held_out_tokens = 0;

  int64_t tokens(const RecordPlace& place) const { return of(place).length; }
  const PlannedRecord& of(const RecordPlace& place) const {
    return records[static_cast<size_t>(place.dataset)][static_cast<size_t>(place.record)];
  }
};
Prediction predict_training(const TrainOptions& options, const TrainPlan& plan, const ModelConfig& config,
                            const PlannedData& data, const Profile& profile, uint64_t model_bytes);

/// Bytes of all tensors of a model's directory; 0 of what is none.
uint64_t stored_bytes(const std::filesystem::path& model);

/// Of a run, what its ranks.json says of the routing: [layers, experts] of each layer's assignments. Fails (input).
std::vector<double> measured_routing(const std::filesystem::path& run, const ModelConfig& config);

}  // namespace switchyard
