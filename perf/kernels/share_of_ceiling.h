// What a Google Benchmark program here measures: a rate beside what the machine can multiply.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>

#include "base/stopwatch.h"
#include "ceiling.h"
#include "kernels/cpu_isa.h"

namespace switchyard::bench {

/// Times `run`, which does `flops` operations with that operand, after a first time that touches all memory. Says the
/// best rate of all, and its share of the ceiling, which is taken before and after.
template <class Run>
void measure_share(benchmark::State& state, const Stream& stream, DType operand, double flops, const Run& run) {
  run();
  double best = 1e30, ceiling = ceiling_gflops(stream, operand);
  for (auto _ : state) {
    const double start = seconds_now();
    run();
    const double seconds = seconds_now() - start;
    state.SetIterationTime(seconds);
    best = std::min(best, seconds);
  }
  ceiling = std::max(ceiling, ceiling_gflops(stream, operand));
  state.counters["gflops"] = flops * 1e-9 / best;
  state.counters["ceiling_gflops"] = ceiling;
  state.counters["share_of_ceiling"] = flops * 1e-9 / best / ceiling;
  state.counters["threads"] = stream.pool->num_threads();
  state.SetLabel(std::string(current_cpu_isa()));
}

}  // namespace switchyard::bench
