#pragma once

#include "jobs/import/import_job.h"
#include "jobs/options/options.h"

namespace switchyard {

/// ImportOptions as a command line gives them.
struct ImportCommand : ImportOptions {
  bool dry_run = false;

  void describe(OptionSet& o);
};

}  // namespace switchyard
