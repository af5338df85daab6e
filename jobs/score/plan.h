// Everything a scoring run decides before it starts, from the options, the model, the input and the machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "io/input.h"
#include "jobs/input/input_size.h"
#include "jobs/score/options.h"
#include "jobs/score/shard.h"
#include "model/layout.h"
#include "run/run_directory.h"

namespace switchyard {

struct ScorePlan : Layout {
  ModelConfig config;
  std::string numerics;                 ///< the numerics id
  std::vector<std::string> algorithms;  ///< of cuBLASLt, where it multiplies
  WorkUnits units;                      ///< chunks of records
  int64_t num_tokens = 0;
  std::optional<int64_t> num_documents;  ///< of a joined input: the records are their pieces
  ResultOptions results;
  uint64_t disk_bytes = 0;  ///< shards and results
};

/// What --device asks for; "auto" is what a run there began with.
DeviceWish requested_device(const ScoreOptions& options, const RunDirectory& run);

/// What --chunk-records is unless given.
int64_t default_chunk_records(int64_t records, int64_t tokens);

/// Fails (usage) if the results that are asked for are none that a document has. input: for people.
void require_joinable(const ScoreOptions& options, const std::string& input);

/// Fails (usage, environment). All ranks decide alike, without asking each other. `run`: a manifest there decides what
/// "auto" means.
ScorePlan plan_score(const ScoreOptions& options, const ModelConfig& config, const InputSize& input,
                     const MachineShare& machine, const RunDirectory& run);

/// Where some groups of ranks have no chunk: what to do; else empty.
std::string idle_groups_note(const ScorePlan& plan);

/// The plan for a person: --dry-run and the start of the log.
std::vector<std::string> describe_plan(const ScorePlan& plan);

}  // namespace switchyard
