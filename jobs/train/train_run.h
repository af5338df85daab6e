// One attempt at a training run: prepare, resume, train, export. What any run has is its Attempt's.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "jobs/job.h"
#include "jobs/records/rank_times.h"
#include "jobs/steps/taken_steps.h"
#include "jobs/train/phases.h"
#include "jobs/train/predicted_training.h"
#include "jobs/train/step_loader.h"
#include "jobs/train/step_log.h"
#include "jobs/train/train_plan.h"
#include "model/export/export_plan.h"
#include "run/attempt.h"
#include "train/trainer.h"

namespace switchyard {

class TrainRun {
 public:
  TrainRun(Runtime& runtime, TrainOptions options, std::string resolved_config);
  int run();

 private:
  void prepare();  ///< config, machine, the data's files: nothing is touched
  void dry_run();
  void read_data(const RunDirectory& run);
  void plan();
  void predict(const PlannedData& data);
  std::vector<std::string> describe_all() const;
  void load();     ///< the model, then the manifest
  void restore();  ///< the newest checkpoint, and what it says of the steps before
  void train();
  void train_step(int64_t step);
  StepBatch load_batch(int64_t step);
  Json timing_since(const TrainPhases& before, int64_t tokens) const;
  bool may_go_on();
  bool is_evaluated(int64_t step) const;
  double evaluation_seconds() const;
  std::vector<double> evaluate(int64_t step);
  void save();
  void plan_export();
  void export_model();
  TrainPhases phases() const;
  RankRecord rank_record() const;
  void tell_ranks();
  void report(std::vector<PhaseRow> phases) const;

  bool on_root() const { return world_.rank() == 0; }
  Fingerprint fingerprint() const;
  Json manifest_info() const;

  Communicator& world_;
  Pulse& pulse_;
  const TrainOptions options_;
  const std::string resolved_config_;

  ModelConfig config_;
  ExportPlan export_;
  MachineShare machine_;
  std::optional<DataFiles> files_;
  std::optional<TrainingData> data_, eval_;
  std::optional<DataOrder> order_;
  std::optional<ChosenParameters> chosen_;
  TrainPlan plan_;
  std::optional<Prediction> prediction_;  // at rank 0, where there is a profile
  FirstWeights first_weights_;
  std::optional<Attempt> attempt_;
  std::unique_ptr<Trainer> trainer_;
  std::optional<TakenSteps> steps_;
  std::optional<StepLoader> loader_;
  std::optional<StepLog> log_;  ///< rank 0
  TrainPhases spent_;           ///< what the trainer does not count
  // Of this rank, in this attempt's steps and evaluations:
  int64_t tokens_mine_ = 0;
  double load_batch_seconds_ = 0, agree_seconds_ = 0, communicated_ = 0;
  double evaluation_seconds_ = 0;  ///< of the last one, on the slowest rank
  int64_t step_tokens_ = 0;        ///< of the newest step, on all ranks
  const double start_;
};

}  // namespace switchyard
