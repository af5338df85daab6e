// One attempt at a scoring run, from the options to the exit code. The phases in their order are the member functions:
// score_run.cc has them up to the last chunk, score_run_finish.cc the end, score_run_records.cc what they write down.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "comm/communicator.h"
#include "jobs/job.h"
#include "jobs/score/chunk_scorer.h"
#include "jobs/score/engine.h"
#include "jobs/score/options.h"
#include "jobs/score/plan.h"
#include "jobs/score/progress.h"
#include "jobs/score/results.h"
#include "jobs/score/summary.h"
#include "run/lease.h"
#include "run/run_directory.h"
#include "run/stop.h"
#include "run/watchdog.h"

namespace switchyard {

class ScoreRun {
 public:
  ScoreRun(Runtime& runtime, ScoreOptions options, std::string resolved_config);
  int run();

 private:
  void prepare();             ///< config, input, machine, plan: nothing is touched
  void take_run_directory();  ///< directory, lease, what may be refused at once
  void read_input();          ///< all of it: is it the run's?
  void begin_attempt();
  void leave_no_trace() noexcept;
  void start_watchdog();
  void load();                      ///< model, then the manifest
  void find_work();                 ///< shards that are there, chunks that are not
  void score_chunks();              ///< each group its own; a chunk's root publishes its shard
  bool score_chunk(int64_t chunk);  ///< false: there was no time for it
  void publish(const ChunkResult& result);
  ExitCode finish();  ///< the world meets; rank 0 merges
  ExitCode merge();
  std::string_view why_stopped() const;
  void add_history(RunUsage& usage) const;
  void drop_shards() const;
  void report(RunSummary& summary) const;
  void record_failure(const Error& error) noexcept;
  void end_hung(const std::string& verdict, bool reporter) const noexcept;

  bool on_root() const { return world_.rank() == 0; }
  void get_on_or_give_up() const;
  bool time_is_up() const;
  void check_lease_held() const;
  bool is_complete() const;
  std::optional<ResultTotals> completed_results() const;
  bool has_failed() const;
  void write_state(RunStatus status, ExitCode code, std::string message) const;
  void on_step(const ChunkProgress& chunk);
  void tell_progress();
  ProgressReport progress_report() const;
  double expert_imbalance() const;
  void announce_limit(double seconds_left, int64_t chunks_left);
  void write_metrics(int64_t chunk, int64_t records, int64_t rejects);
  Fingerprint fingerprint() const;
  ShardSet shard_set() const;
  Json manifest_info() const;
  PhaseSeconds phases() const;

  Communicator& world_;
  Pulse& pulse_;
  const ScoreOptions options_;
  const std::string resolved_config_;
  const double start_;
  const RunDirectory directory_;
  std::optional<SignalWatch> signals_;

  std::optional<ScoringInput> input_;
  ScorePlan plan_;
  std::string input_hash_, model_hash_, fingerprint_hash_;
  std::vector<Hash128> chunk_hashes_, id_hashes_;  ///< of the input, by chunk: as shards have it, of the ids
  std::unique_ptr<Lease> lease_;                   ///< rank 0
  std::string nonce_;                              ///< all ranks
  bool made_directory_ = false;                    ///< rank 0: it was not there before
  std::filesystem::path attempt_;

  std::unique_ptr<Communicator> group_;
  std::unique_ptr<ScoringEngine> engine_;
  std::unique_ptr<ChunkScorer> scorer_;
  std::vector<int64_t> pending_;
  std::optional<ResultTotals> totals_;            ///< rank 0: of complete results, once there are any
  int64_t resumed_chunks_ = 0, chunks_done_ = 0;  ///< done: by this group in this attempt
  int64_t resumed_records_ = 0;
  int64_t records_in_flight_ = 0;  ///< of the group's chunk that is being scored
  double metrics_told_at_ = 0, state_told_at_ = 0, state_tell_seconds_ = 0;  ///< group's first rank; rank 0
  int64_t metrics_told_records_ = 0;                                         ///< of the chunk that is being scored
  bool limit_announced_ = false;
  double load_seconds_ = 0, write_seconds_ = 0, wait_seconds_ = 0, merge_seconds_ = 0, score_start_ = 0;
  std::optional<Progress> progress_;
  std::optional<Watchdog> watchdog_;
};

}  // namespace switchyard
