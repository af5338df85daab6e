// Everything a scoring run decides before it starts, from the options, the model, the input and the machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/device_choice.h"
#include "io/input.h"
#include "jobs/score/options.h"
#include "jobs/score/shard.h"
#include "model/memory_plan.h"
#include "run/run_directory.h"

namespace switchyard {

struct ScorePlan {
  ModelConfig config;
  DType operand = DType::f32;
  std::string why_operand;  ///< for --dtype auto
  std::string numerics;     ///< the numerics id
  DeviceChoice device;
  int world_size = 1, ep = 1, threads = 1, ranks_on_host = 1;
  WorkUnits units;  ///< chunks of records
  int64_t num_tokens = 0;
  DecoderLimits limits;
  ResultOptions results;
  MemoryPlan memory;
  size_t memory_limit = 0;    ///< of the device that computes
  std::string memory_source;  ///< what that is a share of
  size_t host_memory_limit = 0;
  std::string host_memory_source;
  uint64_t disk_bytes = 0;  ///< shards and results

  int num_groups() const { return world_size / ep; }
};

/// What a rank may use of its host.
struct MachineShare {
  int world_size = 1;
  int ranks_on_host = 1;
  int cores = 1;              ///< of its affinity mask, divided by the ranks of the host that have the same mask
  size_t memory = 0;          ///< the least of all ranks
  std::string memory_source;  ///< whose bound that rank's host has
  DeviceChoice device;
  size_t device_memory = 0;  ///< of a GPU that computes, divided by the ranks that share it; the least of all ranks
};
/// What --device asks for; "auto" is what a run there began with.
DeviceWish requested_device(const ScoreOptions& options, const RunDirectory& run);
/// Collective; chooses devices. Fails on all ranks alike.
MachineShare share_machine(Communicator& world, const DeviceWish& device, bool share_gpu);

/// Tokens of the longest record that the model can take, at least 1. Each rank reads its part of the offsets.
/// Collective; fails (input) on all ranks alike.
int64_t longest_record(Communicator& world, const ScoringInput& input, int64_t max_positions);

/// What --chunk-records is unless given.
int64_t default_chunk_records(const ScoringInput& input);

/// Fails (usage, environment). All ranks decide alike, without asking each other. `run`: a manifest there decides what
/// "auto" means.
ScorePlan plan_score(const ScoreOptions& options, const ModelConfig& config, const ScoringInput& input,
                     int64_t longest_record, const MachineShare& machine, const RunDirectory& run);

/// The plan for a person: --dry-run and the start of the log.
std::vector<std::string> describe_plan(const ScorePlan& plan);

}  // namespace switchyard
