#include "jobs/plan/calibrate.h"

#include <algorithm>
#include <iostream>

#include "base/log.h"
#include "base/number.h"
#include "base/stopwatch.h"
#include "base/text.h"
#include "base/version.h"
#include "comm/collectively.h"
#include "io/file.h"
#include "jobs/job.h"
#include "jobs/options/option_groups.h"
#include "kernels/cpu_isa.h"
#include "plan/calibration.h"

namespace switchyard {
namespace {

int64_t width_of(const std::string& word) {
  const int64_t width = number_in<int64_t>(word).value_or(0);
  if (width < 256 || width > 16384 || width % 128 != 0)
    fail(ExitCode::usage, "calibrate --widths: expected multiples of 128 from 256 to 16384, found \"{}\"", word);
  return width;
}

CalibrationRequest request_of(const CalibrateOptions& options, const MachineShare& machine) {
  CalibrationRequest request;
  request.operands.clear();
  for (const std::string& dtype : options.dtypes) request.operands.push_back(operand_of(dtype));
  for (const std::string& width : options.widths) request.widths.push_back(width_of(width));
  for (const std::string& job : options.jobs)
    if (job != "score" && job != "train")
      fail(ExitCode::usage, "calibrate --jobs: expected score or train, found {}", job);
  request.training = machine.device.device == Device::cpu && std::ranges::count(options.jobs, "train") > 0;
  request.threads = options.threads > 0 ? static_cast<int>(options.threads) : machine.cores;
  request.ranks_on_host = machine.ranks_on_host;
  request.device = machine.device;
  request.directory = std::filesystem::path(absolute_path(options.output, ExitCode::output)).parent_path();
  return request;
}

/// What is there already, if it is this machine's.
Profile profile_to_add_to(const std::string& path, const ProfiledMachine& machine) {
  Profile profile{.machine = machine, .made_by = fmt::format("{} {}", SWITCHYARD_VERSION, SWITCHYARD_GIT_REVISION)};
  if (!file_exists(path, ExitCode::output)) return profile;
  Profile old = read_profile(path);
  if (!old.assumed.empty())
    fail(ExitCode::mismatch, "{}: this profile is assumed ({}), and nothing measured is added to it", path,
         old.assumed);
  if (!old.machine.is_like(machine))
    fail(ExitCode::mismatch, "{}: the profile is another machine's ({}), and this is {}; expected a new --output", path,
         describe(old.machine), describe(machine));
  profile.layouts = std::move(old.layouts);
  profile.machine.cores = std::max(machine.cores, old.machine.cores);
  profile.machine.memory_bytes = std::max(machine.memory_bytes, old.machine.memory_bytes);
  return profile;
}

/// What was found, in a line each: of what computes the best rate, of bytes that of the most, of exchanges the least
/// time as well.
std::vector<std::string> findings(const LayoutRates& layout) {
  constexpr struct {
    const char *work, *label, *unit;
    bool by_dtype;
  } kShown[] = {{"gemm", "products", "GFLOP/s", true},        {"grouped_ffn", "experts", "GFLOP/s", true},
                {"attention", "attention", "GFLOP/s", true},  {"memory", "memory", "GB/s", false},
                {"load", "reading models", "GB/s", true},     {"commit", "committing files", "GB/s", false},
                {"checkpoint", "checkpoints", "GB/s", false}, {"exchange", "exchange", "GB/s", false}};
  const auto rate = [](const RateSample& sample) { return sample.amount / sample.seconds; };
  const auto once = [](const RateSample& sample) { return sample.seconds / static_cast<double>(sample.count); };
  std::vector<std::string> lines;
  for (const auto& shown : kShown)
    for (const auto& [key, table] : layout.rates.tables()) {
      if (key.first != shown.work) continue;
      const bool computes = shown.unit == std::string_view("GFLOP/s");
      const RateSample& shown_sample = computes ? std::ranges::max(table.samples(), {}, rate)
                                                : std::ranges::max(table.samples(), {}, &RateSample::size);
      std::string line = fmt::format("{}{}: {:.3g} {} a rank", shown.label,
                                     shown.by_dtype ? fmt::format(" in {}", name_of(key.second)) : "",
                                     rate(shown_sample) / 1e9, shown.unit);
      if (key.first == "exchange")
        line += fmt::format(", at least {:.3g} µs", 1e6 * once(std::ranges::min(table.samples(), {}, once)));
      lines.push_back(std::move(line));
    }
  return lines;
}

}  // namespace

void CalibrateOptions::describe(OptionSet& o) {
  o.group("Calibrate");
  o.add("output", &output, "FILE", "the profile; of one that is there other layouts stay");
  o.require("output");
  o.add("dtypes", Names{&dtypes}, "LIST", "of products: f32, bf16");
  o.add("jobs", Names{&jobs}, "LIST", "what is tried: score, train");
  o.add("widths", Names{&widths}, "LIST", "hidden sizes of the models that are tried");
  o.add("threads", within(&threads, 0, 1024), "N", "of each rank; 0: its cores");
  o.add("device", &device, "auto|cpu|cuda", "where ops run");
  o.add("share-gpu", &share_gpu, "", "several ranks may share a GPU");
  o.add("cpu-isa", &cpu_isa, "auto|avx2|avx512|avx512_vnni|avx512_bf16", "instructions of products, on a CPU");
  o.add("quiet", &quiet, "", "says only what is wrong");
}

int run_calibrate(Runtime& runtime, std::span<const std::string> args) {
  CalibrateOptions options;
  OptionSet set;
  options.describe(set);
  if (!parse_job_options(runtime, set, "calibrate", args)) return 0;
  log::set_quiet(options.quiet);
  Communicator& world = runtime.world;
  const bool on_root = world.rank() == 0;
  CalibrationRequest request;
  Profile profile;
  DeviceRequest device{};
  collectively(world, [&] {
    set_cpu_isa(options.cpu_isa);
    device = device_request(options.device);
  });
  const MachineShare machine = share_machine(world, device, options.share_gpu);
  collectively(world, [&] {
    request = request_of(options, machine);
    if (!on_root) return;
    profile = profile_to_add_to(options.output, this_machine(machine));
  });
  request.poll = [&] { runtime.pulse.beat(); };
  runtime.pulse.phase("calibrating");
  const double start = seconds_now();
  std::vector<LayoutRates> layouts = calibrate(world, request);
  collectively(world, [&] {
    if (!on_root) return;
    for (LayoutRates& layout : layouts) {
      for (const std::string& line : findings(layout))
        log::info("{}{}", line, layout.hosts > 1 ? ", between hosts" : "");
      profile.put(std::move(layout));
    }
    write_file_atomically(options.output, to_text(to_json(profile), 1) + '\n');
    log::info("{}: {} ranks on {} hosts × {} threads, {}", options.output, world.size(),
              world.size() / machine.ranks_on_host, request.threads, duration_text(seconds_now() - start));
  });
  return 0;
}

}  // namespace switchyard
