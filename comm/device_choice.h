// Which device each rank computes on.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "comm/communicator.h"

namespace switchyard {

enum class DeviceRequest : uint8_t { automatic, cpu, cuda };
/// Of "auto", "cpu" or "cuda", as --device says it; fails (usage) for anything else.
DeviceRequest device_request(std::string_view name);

/// A request and who made it, for the log and for errors: nobody asks for what a run began with.
struct DeviceWish {
  DeviceWish(DeviceRequest wished, std::string_view wisher = "asked for") : request(wished), source(wisher) {}

  DeviceRequest request;
  std::string_view source;
};

/// What one rank sees.
struct RankDevices {
  std::string host;
  /// By index, what all ranks of the host call it: a launcher may show each rank its own GPU as number 0.
  std::vector<std::string> devices;
  std::string why_none;  ///< when there are none
};
RankDevices visible_devices();

struct DeviceChoice {
  Device device = Device::cpu;
  int index = 0;        ///< of the device, as this rank counts
  bool staged = false;  ///< ranks share devices: their rows travel through host memory
  std::string why;      ///< for the log: the same on all ranks
};

/// For the rank-th of all ranks. On CUDA a rank takes the first device it sees that no rank before it has; ranks that
/// share take one of those that the fewest have. `automatic` is CUDA when that works out for all ranks; what was asked
/// for and cannot be is an Error (environment), on all ranks alike.
DeviceChoice choose_device(std::span<const RankDevices> ranks, int rank, const DeviceWish& wish, bool share_gpu);
/// Collective.   mine: visible_devices() where not said
DeviceChoice choose_device(Communicator& world, const DeviceWish& wish, bool share_gpu, const RankDevices& mine);
DeviceChoice choose_device(Communicator& world, const DeviceWish& wish, bool share_gpu);

/// `group` with an all-to-all for the memory that its ranks compute in. Collective over it.
std::unique_ptr<Communicator> connect_devices(std::unique_ptr<Communicator> group, const DeviceChoice& choice);

}  // namespace switchyard
