#include "plan/calibration.h"

#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "plan/calibration_models.h"
#include "plan/calibration_parts.h"

namespace switchyard {
namespace {

constexpr int64_t kMostTrained = 1024, kGroupWidth = 768;  // models' widths

/// Hosts are numbered in the order of their first ranks.
int host_of(Communicator& world) {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  const std::vector<std::string> all = world.all_gather_strings(name);
  return static_cast<int>(std::ranges::find(all, name) - all.begin());
}

/// Powers of two, and all of a host's ranks.
std::vector<int> group_sizes(int ranks) {
  std::vector<int> sizes;
  for (int size = 2; size < ranks; size *= 2)
    if (ranks % size == 0) sizes.push_back(size);
  if (ranks > 1) sizes.push_back(ranks);
  return sizes;
}

/// What ranks of a group take together: exchanges, sums and updates; of several hosts these alone are kept.
Rates time_groups(Communicator& world, Communicator& group, const CalibrationRequest& request) {
  Rates rates;
  const ModelConfig config = calibration_model(kGroupWidth, std::max(32, group.size()));
  for (const DType operand : request.operands) {
    time_scoring(world, group, request, config, operand, rates);
    if (request.training) time_training(world, group, request, config, operand, rates);
  }
  return rates;
}

/// All ranks' together, at rank 0.
Rates gather_rates(Communicator& world, const Rates& mine) {
  const std::string text = to_text(to_json(mine));
  Rates all;
  for (const auto& bytes : world.gather_bytes(std::as_bytes(std::span(text)), 0))
    all.add(
        rates_from_json(parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "a rank's calibration"),
                        "a rank's calibration"));
  return all;
}

}  // namespace

std::vector<LayoutRates> calibrate(Communicator& world, const CalibrationRequest& request) {
  const std::unique_ptr<Communicator> self = make_self_communicator();
  Rates of_host, between_hosts;
  for (const DType operand : request.operands)
    for (const int64_t width : request.widths) {
      log::info("calibrating: {}, {} wide", name_of(operand), width);
      time_scoring(world, *self, request, calibration_model(width, width > kMostTrained ? 8 : 32), operand, of_host);
      if (request.training && width <= kMostTrained)
        time_training(world, *self, request, calibration_model(width, 32), operand, of_host);
    }
  const std::unique_ptr<Communicator> host = world.split(host_of(world), world.rank());
  for (const int size : group_sizes(request.ranks_on_host)) {
    log::info("calibrating: groups of {} ranks on a host", size);
    const std::unique_ptr<Communicator> group =
        connect_devices(host->split(host->rank() / size, host->rank()), request.device);
    of_host.add(time_groups(world, *group, request));
  }
  const int hosts = world.size() / request.ranks_on_host;
  if (hosts > 1) {
    log::info("calibrating: {} ranks on {} hosts", world.size(), hosts);
    const std::unique_ptr<Communicator> all = connect_devices(world.split(0, world.rank()), request.device);
    between_hosts = time_groups(world, *all, request);
  }
  log::info("calibrating: memory and files");
  time_memory(world, request, of_host);
  time_files(world, request, of_host);
  std::vector<LayoutRates> layouts{{1, request.ranks_on_host, request.threads, gather_rates(world, of_host)}};
  if (hosts > 1) layouts.push_back({hosts, request.ranks_on_host, request.threads, gather_rates(world, between_hosts)});
  return layouts;
}

}  // namespace switchyard
