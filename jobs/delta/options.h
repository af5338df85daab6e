// `switchyard delta ACTION …`: options of all its actions.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "jobs/options/options.h"

namespace switchyard {

struct DeltaOptions {
  std::vector<std::string> words;  ///< the action, and what it works on
  std::string model, trained, output;
  std::vector<std::string> delta, allow_config_field;
  bool keep_master = false, json = false, dry_run = false;

  std::set<std::string> allowed_fields() const { return {allow_config_field.begin(), allow_config_field.end()}; }
  void describe(OptionSet& o);
};

}  // namespace switchyard
