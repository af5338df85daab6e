// What a training run has written down of its steps and attempts, as curves: bounded memory, however many steps.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/thinned_line.h"
#include "run/run_directory.h"

namespace switchyard {

/// Steps as they stand in metrics.jsonl.
struct StepHistory {
  /// At a step, the last or the best.
  struct Loss {
    int64_t step = 0;
    double loss = 0;
  };
  int64_t steps = 0, tokens = 0;
  std::optional<Loss> first, last, last_held_out, best_held_out;
  report::ThinnedLine loss, held_out, loss_by_tokens, held_out_by_tokens;  ///< the latter over tokens so far
  report::ThinnedLine learning_rate, gradient_norm, balance, expert_load;
  report::ThinnedLine penalty;  ///< empty: nothing holds the model
};
StepHistory read_steps(const RunDirectory& run);

/// Fields of timing.jsonl: seconds of rank 0.
inline constexpr std::array<std::string_view, 6> kStepPhases = {"forward", "head",       "backward",
                                                                "update",  "evaluation", "checkpoint"};

/// What an attempt did, by timing.jsonl. Times are seconds since 1970.
struct AttemptHistory {
  std::string name;
  double began = 0, end = 0;         ///< end: of its last step
  int64_t units_at_start = 0;        ///< steps that it went on from
  int64_t steps = 0, last_step = 0;  ///< that it took; the one it reached
  double seconds = 0;                ///< of its steps, evaluations and checkpoints included
  std::array<double, kStepPhases.size()> phases = {};
  report::ThinnedLine tokens_per_second = {}, gflop_per_second = {}, exchange_share = {};  ///< over time
};
/// In order, those without any step too.
std::vector<AttemptHistory> read_attempts(const RunDirectory& run);

}  // namespace switchyard
