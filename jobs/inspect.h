#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "jobs/options/option_groups.h"

namespace switchyard {

struct InspectOptions : BatchOptions {
  std::string model, reference, dtype = "f32", device = "cpu";
  std::vector<std::string> delta, allow_config_field;
  int64_t ranks = 1, threads = 1, max_record = 0, exchange_bytes = int64_t{256} << 20;
  int64_t step_tokens = 65'536;
  bool json = false, dry_run = false, train = false;

  void describe(OptionSet& o);
};

}  // namespace switchyard
