// How GPU benchmarks measure and what they print: JSON lines, every rate beside the ceiling of the same run.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/device.h"
#include "base/thread_pool.h"
#include "io/json.h"

namespace switchyard::bench {

struct Timing {
  double median = 0, least = 0;  ///< seconds
  int repeats = 0;
};

/// Seconds of device time of one call of `work`, which gives its work to the stream and does not wait: events around
/// as many calls as take about 2 ms, several times after a warm-up, for about `seconds`.
Timing time_on_device(const Stream& stream, const std::function<void()>& work, double seconds = 0.1);
/// Seconds until `work` is done on the device, by the host's clock; the stream is idle before.
Timing time_until_done(const Stream& stream, const std::function<void()>& work);

/// What the device does at best, measured.
struct Ceilings {
  double bytes_per_second = 0;  ///< of a large copy on the device, bytes read plus bytes written
  double flops_per_second = 0;  ///< of a bf16 product of 8192³ by cuBLASLt, random operands, the best of its algorithms
  double loaded_bytes_per_second = 0, loaded_flops_per_second = 0;  ///< the same after a second of load
};

/// A device with a stream of its own, its ceilings, and the benchmark's output.
class Bench {
 public:
  Bench();

  const Stream& stream() const { return stream_; }
  const Ceilings& ceilings();  ///< measured at the first call
  /// For any stream.
  OwnedTensor random(const Shape& shape, DType dtype, uint64_t seed, float scale) const;

  /// A rate beside its ceiling. target: the share that is to be reached, 0 for none.
  void report_flops(const std::string& name, const std::string& what, const Timing& timing, double flops,
                    double target = 0, const Json& more = Json::object());
  void report_bytes(const std::string& name, const std::string& what, const Timing& timing, double bytes,
                    double target = 0, const Json& more = Json::object());
  /// A time beside the most it may be, 0 for none.
  void report_time(const std::string& name, const std::string& what, const Timing& timing, double target_seconds = 0,
                   const Json& more = Json::object());

 private:
  void report_rate(Json line, const std::string& unit, double unit_size, double rate, double ceiling, double target,
                   const Json& more);

  ThreadPool pool_;
  DeviceStream device_;
  Stream stream_;
  std::optional<Ceilings> ceilings_;
};

/// Which device, driver and revision: the first line of every run.
void report_machine();

Ceilings measure_ceilings(const Bench& bench);

// The benchmarks, by name.
void bench_ceilings();
void bench_moe_layer();
void bench_prefill();
void bench_latency();
void bench_kernels();
void bench_exchange();

}  // namespace switchyard::bench
