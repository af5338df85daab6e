// Benchmarks of the GPU path, each beside the ceilings measured in the same process. JSON lines; no checkpoint needed.
//
//   bench_gpu NAME …      ceilings, kernels, moe_layer, prefill, latency, exchange; "all"
#include <algorithm>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "measure.h"
#include "perf/benchmark_main.h"

namespace switchyard::bench {
namespace {

struct Entry {
  std::string_view name;
  void (*run)();
};
constexpr Entry kBenchmarks[] = {{"ceilings", bench_ceilings},   {"kernels", bench_kernels},
                                 {"moe_layer", bench_moe_layer}, {"prefill", bench_prefill},
                                 {"latency", bench_latency},     {"exchange", bench_exchange}};

int main_with(const std::vector<std::string>& names) {
  std::vector<const Entry*> wanted;
  for (const std::string& name : names) {
    const auto* entry = std::ranges::find(kBenchmarks, name, &Entry::name);
    if (entry != std::end(kBenchmarks)) {
      wanted.push_back(entry);
    } else if (name == "all") {
      for (const Entry& each : kBenchmarks) wanted.push_back(&each);
    } else {
      fail(ExitCode::usage, "no benchmark \"{}\"", name);
    }
  }
  if (wanted.empty())
    fail(ExitCode::usage, "usage: bench_gpu NAME …, of ceilings, kernels, moe_layer, prefill, latency, exchange, all");
  if (num_devices() == 0) fail(ExitCode::environment, "{}", why_no_devices());
  report_machine();
  for (const Entry* entry : wanted) entry->run();
  return 0;
}

}  // namespace
}  // namespace switchyard::bench

int main(int argc, char** argv) {
  return switchyard::bench::run_benchmark("bench_gpu", argc, argv, switchyard::bench::main_with);
}
