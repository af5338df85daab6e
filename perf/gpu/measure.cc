#include "measure.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iostream>
#include <vector>

#include "base/cuda_event.h"
#include "base/stopwatch.h"
#include "base/version.h"
#include "kernels/rows/random_fill.h"

namespace switchyard::bench {
namespace {

constexpr double kIntervalSeconds = 2e-3;  // between two events: long beside a launch
constexpr int kMinRepeats = 5, kMaxRepeats = 1000;

Timing summary_of(std::vector<double> seconds) {
  std::ranges::sort(seconds);
  return {seconds[seconds.size() / 2], seconds.front(), static_cast<int>(seconds.size())};
}

/// Of what takes `once`, in about `all` seconds.
int repeats_for(double once, double all) {
  return static_cast<int>(std::clamp(all / once, double{kMinRepeats}, double{kMaxRepeats}));
}

}  // namespace

Timing time_on_device(const Stream& stream, const std::function<void()>& work, double seconds_of_all) {
  const CudaEvent start = make_cuda_event(cudaEventDefault), end = make_cuda_event(cudaEventDefault);
  const auto run = [&](int calls) {
    SWITCHYARD_CUDA_CALL(cudaEventRecord(start.get(), stream.cuda));
    for (int i = 0; i < calls; ++i) work();
    SWITCHYARD_CUDA_CALL(cudaEventRecord(end.get(), stream.cuda));
    SWITCHYARD_CUDA_CALL(cudaEventSynchronize(end.get()));
    float milliseconds = 0;
    SWITCHYARD_CUDA_CALL(cudaEventElapsedTime(&milliseconds, start.get(), end.get()));
    return std::max(1e-3 * static_cast<double>(milliseconds) / calls, 1e-7);
  };
  run(1);  // kernels are loaded, libraries choose
  const double once = run(3);
  const int calls = static_cast<int>(std::clamp(std::ceil(kIntervalSeconds / once), 1.0, 500.0));
  std::vector<double> seconds(static_cast<size_t>(repeats_for(once * calls, seconds_of_all)));
  for (double& s : seconds) s = run(calls);
  return summary_of(std::move(seconds));
}

Timing time_until_done(const Stream& stream, const std::function<void()>& work) {
  const auto run = [&] {
    const double start = seconds_now();
    work();
    synchronize(stream);
    return seconds_now() - start;
  };
  synchronize(stream);
  run();
  std::vector<double> seconds(static_cast<size_t>(std::min(50, repeats_for(run(), 1))));
  for (double& s : seconds) s = run();
  return summary_of(std::move(seconds));
}

Bench::Bench() : pool_(available_cores()), device_(0) {
  Stream host;
  host.pool = &pool_;
  stream_ = device_.over(host);
}

const Ceilings& Bench::ceilings() {
  if (!ceilings_) ceilings_ = measure_ceilings(*this);
  return *ceilings_;
}

OwnedTensor Bench::random(const Shape& shape, DType dtype, uint64_t seed, float scale) const {
  OwnedTensor tensor(shape, dtype, Device::cuda);
  random_fill(stream_, seed, 0, scale, 0, tensor.view());
  synchronize(stream_);
  return tensor;
}

namespace {

Json line_of(const std::string& name, const std::string& what, const Timing& timing) {
  Json line;
  line["benchmark"] = name;
  line["case"] = what;
  line["ms"] = 1e3 * timing.median;
  line["least_ms"] = 1e3 * timing.least;
  line["repeats"] = timing.repeats;
  return line;
}

void print(Json line, const std::string& summary, const Json& more) {
  line.update(more);
  line["summary"] = summary;
  std::cout << line.dump() << std::endl;
}

}  // namespace

void Bench::report_rate(Json line, const std::string& unit, double unit_size, double rate, double ceiling,
                        double target, const Json& more) {
  line[unit] = rate / unit_size;
  line["ceiling"] = ceiling / unit_size;
  line["share"] = rate / ceiling;
  std::string summary = fmt::format("{:.3f} ms, {:.1f} {}, {:.1f} % of {:.0f}", line["ms"].get<double>(),
                                    rate / unit_size, unit, 100 * rate / ceiling, ceiling / unit_size);
  if (target > 0) {
    line["target_share"] = target;
    line["met"] = rate / ceiling >= target;
    summary += fmt::format(" (target {:.0f} %)", 100 * target);
  }
  print(std::move(line), summary, more);
}

void Bench::report_flops(const std::string& name, const std::string& what, const Timing& timing, double flops,
                         double target, const Json& more) {
  report_rate(line_of(name, what, timing), "TFLOP/s", 1e12, flops / timing.median, ceilings().flops_per_second, target,
              more);
}

void Bench::report_bytes(const std::string& name, const std::string& what, const Timing& timing, double bytes,
                         double target, const Json& more) {
  report_rate(line_of(name, what, timing), "GB/s", 1e9, bytes / timing.median, ceilings().bytes_per_second, target,
              more);
}

void Bench::report_time(const std::string& name, const std::string& what, const Timing& timing, double target_seconds,
                        const Json& more) {
  Json line = line_of(name, what, timing);
  std::string summary = fmt::format("{:.3f} ms", 1e3 * timing.median);
  if (target_seconds > 0) {
    line["target_ms"] = 1e3 * target_seconds;
    line["met"] = timing.median <= target_seconds;
    summary += fmt::format(" (target {:.0f} ms)", 1e3 * target_seconds);
  }
  print(std::move(line), summary, more);
}

void report_machine() {
  const DeviceInfo info = device_info(0);
  int driver_cuda = 0;
  SWITCHYARD_CUDA_CALL(cudaDriverGetVersion(&driver_cuda));
  std::ifstream file("/proc/driver/nvidia/version");
  std::string driver;
  std::getline(file, driver);
  Json line;
  line["benchmark"] = "machine";
  line["device"] = info.name;
  line["architecture"] = info.architecture;
  line["multiprocessors"] = info.num_multiprocessors;
  line["total_bytes"] = info.total_bytes;
  line["driver"] = driver;
  line["driver_cuda"] = fmt::format("{}.{}", driver_cuda / 1000, driver_cuda % 1000 / 10);
  line["cuda"] = info.runtime;
  line["commit"] = SWITCHYARD_GIT_REVISION;
  print(std::move(line), fmt::format("{}, commit {}", info.name, SWITCHYARD_GIT_REVISION), Json::object());
}

}  // namespace switchyard::bench
