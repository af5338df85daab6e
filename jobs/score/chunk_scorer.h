// Scores one chunk of records with one expert group.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "comm/communicator.h"
#include "io/input.h"
#include "jobs/score/pace.h"
#include "jobs/score/scored_rows.h"
#include "jobs/score/shard.h"
#include "model/engine.h"
#include "run/stop.h"
#include "tokens/bins.h"

namespace switchyard {

/// Seconds of this rank by phase, and what was done in them.
struct ScoreCounters {
  double read = 0, decode = 0, head = 0, gather = 0, write = 0, agree = 0;
  double late_rows = 0;       ///< at a step's end, for a rank whose rows were still under way
  int64_t tokens = 0;         ///< through the decoder, this rank
  int64_t group_tokens = 0;   ///< through the decoder, all ranks of the group
  int64_t scored_tokens = 0;  ///< log-probabilities, this rank
  int64_t steps = 0;
};

/// How far a chunk has come, all ranks of the group together.
struct ChunkProgress {
  int64_t chunk = 0;
  int64_t records = 0;  ///< done with
  int64_t tokens_left = 0;
};

class ChunkScorer {
 public:
  struct Options {
    ResultOptions results;
    int64_t batch_tokens = 0;
    int64_t vocab_size = 0, max_positions = 0;
    Bins bins = {};                                          ///< of quantiles: what the first tokens are
    double step_seconds = 5;                                 ///< a step is bounded to this, by what the last ones took
    std::function<void(const ChunkProgress&)> on_step = {};  ///< after each; may fail
  };
  /// group: the engine's.
  ChunkScorer(Engine& engine, const ScoringInput& input, Communicator& world, Communicator& group, Options options);

  /// Collective over the group. Empty on all ranks if there is no time to finish it; otherwise the result on the
  /// group's rank 0, and a default one elsewhere.
  std::optional<ChunkResult> score(int64_t chunk, int64_t first_record, int64_t num_records, SignalWatch& watch);

  /// The last chunk is committed; this rank's seconds since its beginning. Collective over the group.
  void committed(double seconds);

  /// These records at once, whatever chunk they belong to. Collective over the group.
  void score_batch(std::span<const ScoringInput::Record> records, ScoredRows& rows);

  const ScoreCounters& counters() const { return counters_; }
  const Pace& pace() const { return pace_; }

 private:
  /// Records of one step on this rank, ready for the decoder.
  struct Prepared {
    std::vector<ScoringInput::Record> records;
    Batch batch;
    std::vector<int32_t> row, target;  ///< states to score, and the tokens to score there
  };
  using Records = std::vector<ScoringInput::Record>;
  /// The chunk's records that can be scored; the others become rejects.
  Records accepted(int64_t first_record, int64_t num_records, ScoredRows& rows) const;
  void score_step(const Records& records, const std::vector<std::vector<int>>& step, ScoredRows& rows,
                  ChunkProgress& progress);
  bool may_go_on(SignalWatch& watch, int64_t tokens_left);
  ExpertCounts counted() const;
  ExpertCounts counted_by_group_since(const ExpertCounts& before) const;
  int64_t capacity() const;
  Prepared prepare(std::span<const ScoringInput::Record> records, ScoredRows& rows);
  bool read_tokens(const ScoringInput::Record& record, std::vector<int32_t>& ids, ScoredRows& rows);
  /// states: on the host; only looked at for embeddings
  void collect(const Prepared& prepared, ConstView states, const TokenScores& scores, std::span<const float> quantiles,
               ScoredRows& rows) const;
  std::vector<float> quantiles_of(const Prepared& prepared, ConstView states) const;

  Engine& engine_;
  const ScoringInput& input_;
  Communicator& world_;
  Communicator& group_;
  Options options_;
  ScoreCounters counters_;
  Pace pace_;
};

}  // namespace switchyard
