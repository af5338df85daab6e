// Options of what a training run trains: everything, or a part that is chosen, or what is held to where it was.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "jobs/options/options.h"
#include "run/run_directory.h"
#include "train/selection/options.h"

namespace switchyard {

struct FreezeOptions {
  std::string freeze, select, granularity, fisher_new, fisher_old, train_layers;
  std::vector<std::string> train_also;
  double top_p = 0, ewc = 0;
  bool allow_other_fisher = false;

  void describe(OptionSet& o);
  /// Decides what was left open. Fails (usage) on combinations without a meaning.
  void resolve(const OptionSet& set);

  /// Whether a choice is made of what trains.
  bool chooses() const { return !select.empty(); }
  /// Whether something may stay as it is.
  bool freezes() const { return chooses() || !train_layers.empty(); }
  /// Of what freezes(). seed: of a random choice. train_router: whether routers train where nothing is chosen.
  SelectionOptions selection(int64_t seed, bool train_router) const;
  /// Only of what is not as it would be without these options.
  Fingerprint fingerprint() const;

 private:
  SelectionRule rule() const;
};

}  // namespace switchyard
