// Blocks that the pages of all jobs have.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "report/heat_map.h"
#include "report/table.h"

namespace switchyard {

/// Lines of "what: how".
report::Definitions definitions(std::string title, const std::vector<std::string>& lines);

/// tokens: [layers, experts].
report::HeatMap tokens_of_experts(int64_t layers, int64_t experts, std::span<const int64_t> tokens);

}  // namespace switchyard
