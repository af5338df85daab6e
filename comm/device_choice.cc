#include "comm/device_choice.h"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/device.h"
#include "comm/collectively.h"
#include "comm/nccl_communicator.h"
#include "comm/staged_communicator.h"

namespace switchyard {
namespace {

constexpr int kNone = -1;

/// A device of one rank's after the other, by rank; kNone for a rank that sees none that is free.
std::vector<int> assign(std::span<const RankDevices> ranks, bool share_gpu) {
  std::map<std::pair<std::string, std::string>, int> num_users;  // by host and device
  std::vector<int> chosen;
  for (const RankDevices& rank : ranks) {
    int best = kNone, fewest = 0;
    for (int i = 0; i < std::ssize(rank.devices); ++i) {
      const int users = num_users[{rank.host, rank.devices[static_cast<size_t>(i)]}];
      if (best == kNone || users < fewest) best = i, fewest = users;
    }
    if (best != kNone && fewest > 0 && !share_gpu) best = kNone;
    if (best != kNone) ++num_users[{rank.host, rank.devices[static_cast<size_t>(best)]}];
    chosen.push_back(best);
  }
  return chosen;
}

/// Why rank `rank` has no device of its own.
std::string shortage(std::span<const RankDevices> ranks, size_t rank) {
  const std::string& host = ranks[rank].host;
  if (ranks[rank].devices.empty()) return fmt::format("rank {} on {}: {}", rank, host, ranks[rank].why_none);
  std::set<std::string> devices;
  int num_ranks = 0;
  for (const RankDevices& other : ranks) {
    if (other.host != host) continue;
    ++num_ranks;
    devices.insert(other.devices.begin(), other.devices.end());
  }
  return fmt::format("{} has {} ranks and {} GPU{}, and a rank needs one of its own (--share-gpu lets ranks share)",
                     host, num_ranks, devices.size(), devices.size() == 1 ? "" : "s");
}

std::string packed(const RankDevices& rank) {
  std::string text = rank.host + '\n' + rank.why_none;
  for (const std::string& device : rank.devices) text += '\n' + device;
  return text;
}

RankDevices unpacked(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return {lines.at(0), {lines.begin() + 2, lines.end()}, lines.at(1)};
}

}  // namespace

DeviceRequest device_request(std::string_view name) {
  if (name == "auto") return DeviceRequest::automatic;
  if (name == "cpu") return DeviceRequest::cpu;
  if (name != "cuda") fail(ExitCode::usage, "--device is \"{}\", expected auto, cpu or cuda", name);
  return DeviceRequest::cuda;
}

RankDevices visible_devices() {
  char host[256] = {};
  ::gethostname(host, sizeof host - 1);
  RankDevices rank{host, {}, why_no_devices()};
  for (int i = 0; i < num_devices(); ++i) rank.devices.push_back(device_identity(i));
  return rank;
}

DeviceChoice choose_device(std::span<const RankDevices> ranks, int rank, const DeviceWish& wish, bool share_gpu) {
  if (wish.request == DeviceRequest::cpu) return {.why = std::string(wish.source)};
  const std::vector<int> chosen = assign(ranks, share_gpu);
  const auto without = static_cast<size_t>(std::ranges::find(chosen, kNone) - chosen.begin());
  if (without < chosen.size()) {
    const std::string why = shortage(ranks, without);
    if (wish.request == DeviceRequest::cuda) fail(ExitCode::environment, "device cuda ({}): {}", wish.source, why);
    return {.why = why};
  }
  return {.device = Device::cuda,
          .index = chosen[static_cast<size_t>(rank)],
          .staged = share_gpu,
          .why = share_gpu                                  ? "ranks share GPUs: their rows travel through host memory"
                 : wish.request == DeviceRequest::automatic ? "every rank has a GPU of its own"
                                                            : std::string(wish.source)};
}

DeviceChoice choose_device(Communicator& world, const DeviceWish& wish, bool share_gpu, const RankDevices& mine) {
  std::vector<RankDevices> ranks;
  for (const std::string& text : world.all_gather_strings(packed(mine))) ranks.push_back(unpacked(text));
  return choose_device(ranks, world.rank(), wish, share_gpu);
}

DeviceChoice choose_device(Communicator& world, const DeviceWish& wish, bool share_gpu) {
  RankDevices mine;
  collectively(world, [&] { mine = visible_devices(); });
  return choose_device(world, wish, share_gpu, mine);
}

std::unique_ptr<Communicator> connect_devices(std::unique_ptr<Communicator> group, const DeviceChoice& choice) {
  if (choice.device == Device::cpu || group->size() == 1) return group;
  return choice.staged ? stage_through_host(std::move(group)) : add_nccl(std::move(group), choice.index);
}

}  // namespace switchyard
