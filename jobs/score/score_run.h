// One attempt at a scoring run: prepare, resume, score, merge. What any run has is its Attempt's.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "io/input.h"
#include "jobs/input/text_input.h"
#include "jobs/job.h"
#include "jobs/records/rank_times.h"
#include "jobs/score/chunk_scorer.h"
#include "jobs/score/options.h"
#include "jobs/score/plan.h"
#include "jobs/score/predicted_score.h"
#include "jobs/score/results.h"
#include "jobs/score/summary.h"
#include "report/time_series.h"
#include "run/attempt.h"
#include "run/metrics.h"

namespace switchyard {

class ScoreRun {
 public:
  ScoreRun(Runtime& runtime, ScoreOptions options, std::string resolved_config);
  int run();

 private:
  void prepare();  ///< config, machine, the text to import: nothing is touched
  InputSize open_input(const std::filesystem::path& path);
  void plan(const InputSize& input);
  void predict(const InputSize& input);
  std::vector<std::string> describe_all() const;
  InputSize measure_text();
  InputSize import_text();  ///< the input is then the run's own, as it is of a sample
  InputSize take_sample();
  void take();  ///< the run directory
  void require_recorded_size() const;
  void read_input();                 ///< all of it: is it the run's?
  void load();                       ///< model, then the manifest
  std::vector<int64_t> find_done();  ///< chunks whose shards are there; of rank 0
  void score_chunks();               ///< each group its own; a chunk's root publishes its shard
  bool score_chunk(int64_t chunk);   ///< false: there was no time for it
  void publish(const ChunkResult& result);
  ExitCode merge();
  void drop_shards() const;
  void report(RunSummary& summary) const;
  RunSummary summarise();
  void tell_ranks();
  void add_history(RunUsage& usage, std::vector<report::TimeSeries::Attempt>& speed) const;

  bool on_root() const { return world_.rank() == 0; }
  bool reads_text() const { return !sources_.empty(); }
  bool makes_input() const { return reads_text() || options_.sample_tokens > 0; }
  int group_index() const { return world_.rank() / plan_.ep; }
  std::optional<ResultTotals> completed_results() const;
  void on_step(const ChunkProgress& chunk);
  std::string progress_details() const;
  double expert_imbalance() const;
  void announce_limit(double seconds_left, int64_t chunks_left);
  Json metrics() const;
  Fingerprint fingerprint() const;
  ShardSet shard_set() const;
  std::string recorded_input_path() const;
  Json manifest_info() const;
  PhaseSeconds phases() const;
  RankRecord rank_record();

  Communicator& world_;
  Pulse& pulse_;
  const ScoreOptions options_;
  const std::string resolved_config_;
  const double start_;

  ModelConfig config_;
  MachineShare machine_;
  std::vector<SourceFile> sources_;  ///< of text; empty: the input is a scoring input
  std::optional<TextInput> text_;    ///< rank 0
  bool made_input_ = false;          ///< rank 0: in this attempt
  ScorePlan plan_;
  std::optional<Prediction> prediction_;  // at rank 0, where there is a profile
  TokenPieces pieces_;                    ///< rank 0: if the results are to have them
  Bins bins_;                             ///< of a model of numbers, if the results are to have quantiles
  std::optional<ScoringInput> input_;
  std::string input_hash_, model_hash_;
  std::vector<Hash128> chunk_hashes_, id_hashes_;  ///< of the input, by chunk: as shards have it, of the ids
  std::optional<Attempt> attempt_;

  std::unique_ptr<Communicator> group_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<ChunkScorer> scorer_;
  std::optional<MetricsWriter> metrics_;
  std::optional<ResultTotals> totals_;  ///< rank 0: of complete results, once there are any
  int64_t chunks_done_ = 0;             ///< by this group in this attempt
  int64_t records_in_flight_ = 0;       ///< of the group's chunk that is being scored
  bool limit_announced_ = false;
  double load_seconds_ = 0, write_seconds_ = 0, merge_seconds_ = 0;
  double communicated_ = 0;  ///< seconds in operations of several ranks, while scoring
};

}  // namespace switchyard
