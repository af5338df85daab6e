#pragma once

#include <cstdint>
#include <string>

#include "jobs/options.h"

namespace switchyard {

struct VerifyOptions {
  std::string run, model, input;
  int64_t rescore = 0, seed = 1, threads = 0;
  bool dry_run = false;

  void describe(OptionSet& o);
};

}  // namespace switchyard
