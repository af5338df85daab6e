// What a point's run has left of where its ranks' time went (jobs/records/rank_times.h), as POP's factors want it.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "run/run_directory.h"

namespace switchyard {

/// Seconds of one rank in one layer.
struct LayerTimes {
  double useful = 0, wait = 0, transfer = 0;
};

/// Seconds of one rank. useful + wait + transfer + overhead is `work` but for what nobody has measured (other()).
struct RankTimes {
  std::string host = {}, cores = {};  ///< "n1", "0,1"
  double load = 0, work = 0, finish = 0;
  double useful = 0, wait = 0, transfer = 0, overhead = 0;
  int64_t tokens = 0, assignments = 0, remote_assignments = 0, memory_bytes = 0;
  std::vector<LayerTimes> layers = {};
  std::vector<int64_t> bytes_to = {};  ///< [ranks of its group]

  double total() const { return load + work + finish; }
  double other() const { return work - useful - wait - transfer - overhead; }
};

struct PointRecord {
  std::string job = {}, revision = {}, mpi = {}, cpu = {}, device = {}, exchange = {}, numerics = {};
  int ep = 1, threads = 1;
  int64_t attempts = 1;
  double predicted_work = NAN, predicted_total = NAN;  ///< seconds, as the run was told by a profile
  double predicted_transfer = NAN;                     ///< bytes over what the profile's exchanges carried
  std::vector<RankTimes> ranks = {};
  std::vector<std::vector<int64_t>> tokens_per_expert = {};  ///< [layers][experts] of all ranks; zeros in a dense layer

  int num_ranks() const { return static_cast<int>(ranks.size()); }
  int num_experts() const { return tokens_per_expert.empty() ? 0 : static_cast<int>(tokens_per_expert.front().size()); }
  int64_t tokens() const;
  double work() const;   ///< of the slowest rank, as all the following
  double total() const;  ///< time to solution
  double load() const;
  double finish() const;
  std::vector<std::string> hosts() const;  ///< in order of their first ranks
  /// Ranks that have to share cores with others: what is measured says nothing of a machine with enough of them.
  bool shares_cores() const;
};

/// Of a run that is complete. Fails (input) naming the file and the field.
PointRecord read_point_record(const RunDirectory& run);

/// The hash of what a complete run has made: its results, or its model's files. Reads all of them. Fails (input).
std::string hash_of_results(const RunDirectory& run);

/// Of ranks.json alone, without attempts.
PointRecord parse_point_record(const Json& json, std::string_view subject);

/// What of the ranks' seconds in collective operations is waiting: beyond the least that any of them has spent there,
/// which is the transfer.
std::vector<double> waited_in_collectives(std::span<const double> seconds);

}  // namespace switchyard
