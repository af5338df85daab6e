// Finds out what a machine can do: runs small models of random weights, lists what their ops do, and times each.
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "comm/communicator.h"
#include "model/layout.h"
#include "plan/profile.h"

namespace switchyard {

struct CalibrationRequest {
  std::vector<DType> operands = {DType::f32, DType::bf16};
  std::vector<int64_t> widths;  ///< of the models
  bool training = true;         ///< steps as well; of a GPU never
  int threads = 1;
  int ranks_on_host = 1;
  DeviceChoice device;
  std::filesystem::path directory;  ///< where files are written and read, and removed again
  std::function<void()> poll = {};  ///< called now and then
};

/// Of all ranks, which work at the same time; at rank 0, nothing elsewhere: that of a host's ranks, and, of several
/// hosts, that of their exchange. Collective.
std::vector<LayoutRates> calibrate(Communicator& world, const CalibrationRequest& request);

}  // namespace switchyard
