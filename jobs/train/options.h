#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "jobs/input/data_files.h"
#include "jobs/options/option_groups.h"
#include "jobs/train/freeze_options.h"
#include "run/run_directory.h"
#include "train/data/data_order.h"
#include "train/schedule.h"

namespace switchyard {

struct TrainOptions : ModelOptions, InputOptions, MachineOptions, BatchOptions, RunOptions {
  FreezeOptions trains;
  std::string init, profile;
  std::vector<std::string> data, weights, eval_data;
  std::string data_order = "shuffled";
  int64_t step_records = 16, max_rejects = 0;

  int64_t max_steps = 0, epochs = 0, stop_after = 0, seed = 0;
  double learning_rate = 5e-5, min_lr_ratio = 0.1;
  std::string lr_scheduler = "cosine";
  int64_t warmup_steps = 0;
  double adam_beta1 = 0.9, adam_beta2 = 0.95, adam_epsilon = 1e-8, weight_decay = 0.1, max_grad_norm = 1;
  double balance = 0.01, router_bias_update_rate = 1e-3;
  bool train_router = false, tensorboard = false;

  int64_t eval_steps = 500, save_steps = 500, save_total_limit = 2;
  std::string export_as = "base";
  int64_t slices = 0;

  void describe(OptionSet& o);
  /// Decides what was left open, by what `set` was given. Fails (usage, environment) on values and combinations without
  /// a meaning.
  void resolve(const OptionSet& set);

  /// Where the model's configuration, and its tokenizer, is: --model or --init.
  const std::string& config_path() const { return init.empty() ? model : init; }
  DataSources sources() const;
  SelectionOptions selection() const { return trains.selection(seed, train_router); }  ///< of what trains.freezes()

  /// Of the files, as numbers; empty: they have none.
  std::vector<double> file_weights() const;
  /// sizes: of the files, in records.
  DataOrder::Options order(std::vector<int64_t> sizes) const;
  int64_t num_steps(const DataOrder& order) const;
  /// Of what the weights after a step depend on, all that the options alone decide.
  Fingerprint fingerprint() const;
  /// Fails (usage) where the warm-up is longer than all of it.
  Schedule schedule(int64_t steps) const;
};

}  // namespace switchyard
