// What a run will take, before it runs: from a machine's profile, and what the code itself says it will do.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "io/input.h"
#include "io/json.h"
#include "jobs/input/input_size.h"
#include "model/config/model_config.h"
#include "plan/listed_steps.h"
#include "plan/price_list.h"

namespace switchyard {

struct Prediction {
  int64_t nodes = 1;
  int ranks = 1, ep = 1, threads = 1;
  bool on_gpus = false;  ///< a rank each
  DType operand = DType::f32;
  int64_t tokens = 0;
  double load = 0, work = 0, finish = 0;  ///< seconds: the model read, batches or steps, results or the model written
  double checkpoints = 0;                 ///< of the work, with shards: files committed
  double exchange_share = 0;              ///< of the work, on the way between ranks
  double idle_share = 0;                  ///< of the work, waiting for slower ranks
  double flop_seconds = 0;                ///< of the work, if all of it were products at the best rate that was seen
  size_t memory = 0;                      ///< bytes of a rank
  std::vector<std::string> notes = {};

  double seconds() const { return load + work + finish; }
  double tokens_per_second() const { return work > 0 ? static_cast<double>(tokens) / work : 0; }
  double node_hours() const { return static_cast<double>(nodes) * seconds() / 3600; }
  double gpu_hours() const { return on_gpus ? ranks * seconds() / 3600 : 0; }
  /// What takes most of it: "computing", "the exchange", "waiting for the slowest rank", "reading the model", …
  std::string limit() const;
};
Json to_json(const Prediction& prediction);
/// In a line, for the log.
std::string describe(const Prediction& prediction);

/// The work's seconds, predicted and measured, in a line.
std::string beside_prediction(const Prediction& prediction, double seconds);

/// Lengths of some records of what is read, in order.
using RecordLengths = std::function<std::vector<PlannedRecord>(int64_t first, int64_t count)>;
RecordLengths lengths_of(const ScoringInput& input, int64_t max_positions);
/// Where no more is known than this.
RecordLengths even_lengths(const InputSize& size);

/// What --sample-tokens takes of an input, and the lengths of its records: evenly over all of it.
InputSize sample_of(InputSize size, int64_t sample_tokens);
RecordLengths sampled_lengths(RecordLengths lengths, int64_t of_records, int64_t records);

/// Bytes of all tensors of a model's directory; 0 of what is none.
uint64_t stored_bytes(const std::filesystem::path& model);

/// Of a run, what its ranks.json says of the routing: [layers, experts] of each layer's assignments. Fails (input).
std::vector<double> measured_routing(const std::filesystem::path& run, const ModelConfig& config);

}  // namespace switchyard
