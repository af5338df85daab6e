// What a training run trains, and what it is held to: from its options and the files that they name.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "jobs/steps/pass_layout.h"
#include "jobs/train/options.h"
#include "train/fisher/fisher_file.h"
#include "train/pass_engine.h"

namespace switchyard {

class ChosenParameters {
 public:
  /// Opens the files. Fails (input, usage) where they are of another configuration than the model's, or of other labels
  /// than each other's, naming both. Options and configuration outlive this.
  ChosenParameters(const TrainOptions& options, const ModelConfig& config);

  /// Fails (input) where a file is of another tokenizer's tokens than the data, as far as both say, unless
  /// --allow-other-fisher.
  void require_tokenizer(const std::optional<TokenizerIdentity>& of_data) const;

  /// Of all parameters, about, before it is known exactly.
  double trained_share() const;
  /// For PassEngine; empty: everything trains. It fails (environment) where what a rank owns of what trains is so much
  /// more than an even share that it does not fit into its memory.
  PassEngine::Select select(const PassLayout& layout) const;
  /// What the model is held to where it was by; null: it is not.
  const FisherFile* held_to() const { return options_.trains.ewc > 0 ? &*old_ : nullptr; }
  /// Fails (input) where a file is of other weights than these, unless --allow-other-fisher. model: their hash.
  void require_model(const std::string& model) const;
  /// Reads the files, and fails (input) where one is not what was written. poll: called now and then.
  void check_files(const std::function<void()>& poll) const;
  /// With the options' own: which files.
  void add_to(Fingerprint& fingerprint) const;

 private:
  SelectionScores scores() const;

  const TrainOptions& options_;
  const ModelConfig& config_;
  std::optional<FisherFile> new_, old_;
  SelectionScores scores_;
};

/// For a person: how much trains.
std::string describe(const Selection& selection);

}  // namespace switchyard
