// Reports as jobs may come to write them, from a small one to the largest, for tests of how they look.
#pragma once

#include <string>
#include <vector>

#include "report/document.h"

namespace switchyard::test {

struct Sample {
  std::string name;
  report::Document page;
};
/// A short run; 60 layers × 128 experts over many attempts and ranks; long texts; nothing at all.
std::vector<Sample> sample_reports();

/// Tokens by layer and expert, uneven as routers are.
report::HeatMap expert_map(int64_t layers, int64_t experts);

}  // namespace switchyard::test
