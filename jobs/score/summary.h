// What a finished (or stopped) attempt says about itself: figures, the phase table, notes with advice.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "comm/communicator.h"
#include "io/json.h"
#include "jobs/records/phase_table.h"
#include "run/metrics.h"

namespace switchyard {

/// Seconds of one rank by phase. `exchange_*` lie within decode.
struct PhaseSeconds {
  double load = 0, read = 0, decode = 0, exchange_wait = 0, exchange_transfer = 0, head = 0, gather = 0, write = 0,
         agree = 0, wait = 0, merge = 0, total = 0;
};

struct Phase {
  std::string_view name;
  double PhaseSeconds::*seconds;
  bool within_decoder = false;
};
/// In the order in which they come, and the total.
std::span<const Phase> phases();

/// What this attempt took, and what the run has behind it.
struct RunUsage {
  int nodes = 1;             ///< of the job, or those that ranks were on
  uint64_t peak_memory = 0;  ///< of the rank with most, in bytes of its host
  int64_t attempts = 1;      ///< this one included
  double run_seconds = 0;    ///< since the first attempt began, the time between attempts included
  RestartLosses lost;
};

struct RunSummary {
  std::vector<PhaseSeconds> phases;  ///< [ranks]
  std::vector<int64_t> rank_tokens;  ///< [ranks] through the decoder in this attempt
  std::vector<int64_t> expert_rows;  ///< [experts] (token, slot) assignments in this attempt, all layers
  std::vector<int64_t> bytes_sent;   ///< [ranks, ranks of a group] in this attempt, by receiver's rank in its group
  int64_t records = 0, scored_tokens = 0, rejects = 0;  ///< of the whole run, once complete
  bool joined = false;                                  ///< these records and rejects are documents
  double logprob = 0;
  double scoring_seconds = 0;  ///< of this attempt, first chunk to last
  int threads_total = 1, cores = 1;
  int experts_per_rank = 0;
  int64_t resumed_chunks = 0, chunks = 0;
  RunUsage usage;
};

/// Every rank's phases and counters at rank 0. Collective.
RunSummary gather_summary(Communicator& world, const PhaseSeconds& mine, int64_t tokens,
                          const std::vector<int64_t>& expert_rows, const std::vector<int64_t>& bytes_to);

/// Every phase over the ranks.
std::vector<PhaseRow> phase_rows(const RunSummary& summary);

struct KeyFigures {
  double bits_per_token = 0;
  int64_t computed_tokens = 0;   ///< in this attempt
  double tokens_per_second = 0;  ///< of these, while scoring
  double exchange_share = 0;     ///< of the ranks' decoding time: waiting for, or moving, tokens
  double expert_imbalance = 1;   ///< tokens of the busiest expert over the mean
  double elapsed_seconds = 0;    ///< of this attempt
  double waiting_seconds = 0;    ///< of it a rank, on average, for others
  double node_hours = 0;         ///< of this attempt
  double run_seconds = 0;        ///< since the first attempt began
};
KeyFigures key_figures(const RunSummary& summary);

/// Elapsed and waiting time, node-hours, memory, attempts and what they lost.
std::vector<std::string> usage_lines(const RunSummary& summary);
/// Plain sentences about what cost time, with what to do about it.
std::vector<std::string> advice(const RunSummary& summary);
/// One line for machines: records, tokens, rates, shares, bits per token, usage.
Json summary_json(const RunSummary& summary);

}  // namespace switchyard
