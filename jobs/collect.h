// `switchyard collect DIR`: what the points of a sweep or of a scaling study have come to.
#pragma once

#include <string>

#include "jobs/options/options.h"

namespace switchyard {

struct CollectOptions {
  std::string run;

  void describe(OptionSet& o);
};

}  // namespace switchyard
