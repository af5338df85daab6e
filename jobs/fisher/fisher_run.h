// One attempt at a Fisher run: prepare, resume, add up, write. What any run has is its Attempt's.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "jobs/fisher/fisher_plan.h"
#include "jobs/job.h"
#include "jobs/steps/first_weights.h"
#include "jobs/steps/taken_steps.h"
#include "run/attempt.h"
#include "train/fisher/fisher_file.h"
#include "train/fisher/fisher_pass.h"

namespace switchyard {

class FisherRun {
 public:
  FisherRun(Runtime& runtime, FisherOptions options, std::string resolved_config);
  int run();

 private:
  void prepare();  ///< config, machine, the data's files: nothing is touched
  void dry_run();
  void read_data(const RunDirectory& run);
  void load();     ///< the model, then the manifest
  void restore();  ///< the newest checkpoint
  void work();
  void step(int64_t step);
  bool is_whole(const std::filesystem::path& path) const;
  void write_result();

  bool on_root() const { return world_.rank() == 0; }
  Fingerprint fingerprint() const;
  Json manifest_info() const;
  FisherNotes notes() const;

  Communicator& world_;
  Pulse& pulse_;
  const FisherOptions options_;
  const std::string resolved_config_;

  ModelConfig config_;
  MachineShare machine_;
  std::optional<DataFiles> files_;
  std::optional<TrainingData> data_;
  std::optional<FisherPasses> passes_;
  FisherPlan plan_;
  FirstWeights first_weights_;
  std::optional<Attempt> attempt_;
  std::unique_ptr<FisherPass> pass_;
  std::optional<TakenSteps> steps_;
};

}  // namespace switchyard
