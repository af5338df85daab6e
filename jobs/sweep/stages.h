// What a point is: its training, and the runs that follow, each in a folder of its own.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "jobs/study/study.h"
#include "jobs/sweep/points.h"

namespace switchyard {

/// In the order in which they run; the training is the first. folder: the point's. A run that follows works on the
/// model that the training made, unless it names one. {NAME} in values is what
/// SweepPoints::names() has, {point} the point's folder.
std::vector<Stage> stages_of(const SweepFile& file, const SweepPoints& points, int64_t point,
                             const std::filesystem::path& folder);

}  // namespace switchyard
