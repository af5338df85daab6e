// `switchyard verify`: that a run is what it says, as each kind of run proves it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "jobs/job.h"

namespace switchyard {

struct VerifyOptions {
  std::string run, model, input;
  std::vector<std::string> delta;
  int64_t rescore = 0, seed = 1, threads = 0;
  int64_t replay = 1, from = -1;
  bool dry_run = false;

  void describe(OptionSet& o);
};

/// A finished scoring run holds every record once, and scoring some again gives the same bits.
int verify_scores(Runtime& runtime, const VerifyOptions& options);
/// Steps of a training run, taken again from one of its checkpoints, are the recorded ones, bit for bit.
int verify_steps(Runtime& runtime, const VerifyOptions& options);

}  // namespace switchyard
