// `switchyard calibrate`: what this machine can do, as a profile that `plan` reads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "jobs/options/options.h"

namespace switchyard {

struct CalibrateOptions {
  std::string output, device = "auto", cpu_isa = "auto";
  std::vector<std::string> dtypes = {"f32", "bf16"}, jobs = {"score", "train"}, widths = {"256", "768", "1024", "2048"};
  int64_t threads = 0;
  bool share_gpu = false, quiet = false;

  void describe(OptionSet& o);
};

}  // namespace switchyard
