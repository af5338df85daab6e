#include "plan/profile.h"

#include <algorithm>

#include "base/cpu_model.h"
#include "base/device.h"
#include "base/text.h"
#include "io/file.h"
#include "io/json_field.h"
#include "kernels/cpu_isa.h"

namespace switchyard {
namespace {

constexpr std::string_view kFormat = "switchyard profile 1";

}  // namespace

ProfiledMachine this_machine(const MachineShare& share) {
  const bool on_gpu = share.device.device == Device::cuda;
  return {.cpu = cpu_model(),
          .cpu_isa = std::string(current_cpu_isa()),
          .device = on_gpu ? device_info(share.device.index).name : "cpu",
          .cores = share.cores * share.ranks_on_host,
          .memory_bytes = static_cast<int64_t>(share.memory.bytes) * share.ranks_on_host,
          .device_memory_bytes = static_cast<int64_t>(share.device_memory)};
}

std::string describe(const ProfiledMachine& m) {
  return fmt::format("{}, {} cores, {}{}", m.cpu, m.cores, bytes_text(static_cast<uint64_t>(m.memory_bytes)),
                     m.device == "cpu" ? "" : ", " + m.device);
}

void Profile::put(LayoutRates layout) {
  const auto same = std::ranges::find_if(layouts, [&](const LayoutRates& other) {
    return other.hosts == layout.hosts && other.ranks_on_host == layout.ranks_on_host &&
           other.threads == layout.threads;
  });
  if (same == layouts.end())
    layouts.push_back(std::move(layout));
  else
    *same = std::move(layout);
}

Json to_json(const Profile& p) {
  Json layouts = Json::array();
  for (const LayoutRates& layout : p.layouts)
    layouts.push_back({{"hosts", layout.hosts},
                       {"ranks_on_host", layout.ranks_on_host},
                       {"threads", layout.threads},
                       {"rates", to_json(layout.rates)}});
  Json json{{"format", kFormat},
            {"made_by", p.made_by},
            {"machine",
             {{"cpu", p.machine.cpu},
              {"cpu_isa", p.machine.cpu_isa},
              {"device", p.machine.device},
              {"cores", p.machine.cores},
              {"memory_bytes", p.machine.memory_bytes},
              {"device_memory_bytes", p.machine.device_memory_bytes}}}};
  if (!p.assumed.empty()) json["assumed"] = p.assumed;
  json["layouts"] = std::move(layouts);
  return json;
}

Profile read_profile(const std::filesystem::path& path) {
  const std::string& subject = path.native();
  const Json json = parse_json(read_text_file(path), subject);
  if (const std::string format = require_string(json, "format", subject); format != kFormat)
    fail(ExitCode::input, "{}: expected a profile (\"{}\"), found \"{}\"", subject, kFormat, format);
  Profile profile;
  profile.made_by = require_string(json, "made_by", subject);
  if (find_field(json, "assumed") != nullptr) profile.assumed = require_string(json, "assumed", subject);
  const auto machine = json_field<Json>(json, "machine", subject);
  profile.machine = {json_field<std::string>(machine, "cpu", subject),
                     json_field<std::string>(machine, "cpu_isa", subject),
                     json_field<std::string>(machine, "device", subject),
                     json_field<int>(machine, "cores", subject),
                     json_field<int64_t>(machine, "memory_bytes", subject),
                     json_field<int64_t>(machine, "device_memory_bytes", subject)};
  const ProfiledMachine& m = profile.machine;
  if (m.cores < 1 || m.memory_bytes < 1 || m.device_memory_bytes < (m.device == "cpu" ? 0 : 1))
    fail(ExitCode::input, "{}: a machine of {} cores, {} bytes of memory and {} of a device: expected more", subject,
         m.cores, m.memory_bytes, m.device_memory_bytes);
  for (const Json& layout : json_field<Json>(json, "layouts", subject)) {
    LayoutRates read{json_field<int>(layout, "hosts", subject), json_field<int>(layout, "ranks_on_host", subject),
                     json_field<int>(layout, "threads", subject)};
    if (read.hosts < 1 || read.ranks_on_host < 1 || read.threads < 1)
      fail(ExitCode::input, "{}: a layout of {} hosts × {} ranks × {} threads: expected at least 1 of each", subject,
           read.hosts, read.ranks_on_host, read.threads);
    read.rates = rates_from_json(json_field<Json>(layout, "rates", subject), subject);
    profile.put(std::move(read));
  }
  if (profile.layouts.empty()) fail(ExitCode::input, "{}: expected \"layouts\", found none in it", subject);
  return profile;
}

}  // namespace switchyard
