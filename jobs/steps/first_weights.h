// The weights that a run begins with.
#pragma once

#include <string>

#include "jobs/options/option_groups.h"
#include "train/pass_engine.h"

namespace switchyard {

struct FirstWeights {
  std::string model;            ///< hash, or what new weights were made of
  std::string master;           ///< hash of f32 values that a delta has beside the stored ones; empty: none
  std::string importance = {};  ///< hash of what they are held by; empty: they are not
};

/// Those of a model with its deltas. Collective; fails (input) on all ranks alike.
FirstWeights load_model(PassEngine& engine, const ModelOptions& options);

}  // namespace switchyard
