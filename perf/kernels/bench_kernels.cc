// The kernels that take the time, each as GFLOP/s and as a share of what oneDNN's plain product reaches in the same
// run.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <vector>

#include "base/rng.h"
#include "ceiling.h"
#include "kernels/attention/attention.h"
#include "kernels/cpu_isa.h"
#include "kernels/products/gemm.h"
#include "kernels/products/grouped_ffn.h"
#include "kernels/vocabulary/cross_entropy.h"

namespace switchyard::bench {
namespace {

Stream& stream() {
  static const char* threads = std::getenv("SWITCHYARD_BENCH_THREADS");
  static ThreadPool pool(threads != nullptr ? std::atoi(threads) : available_cores());
  static Stream value{Device::cpu, &pool, {}};
  return value;
}

struct Tensor {
  Memory memory;
  View view;
  Tensor(const Shape& shape, DType dtype)
      : memory(static_cast<size_t>(shape.elements()) * size_of(dtype)),
        view{memory.data(), shape, dtype, Device::cpu} {}
};

// A few thousand random numbers, repeated with a shift: filling must not take longer than the benchmark.
Tensor random_tensor(const Shape& shape, DType dtype) {
  constexpr size_t kPeriod = 4099;
  std::vector<float> values(kPeriod);
  for (size_t i = 0; i < kPeriod; ++i) values[i] = 0.1f * random_normal(1, i);
  Tensor t(shape, dtype);
  for (int64_t i = 0; i < shape.elements(); ++i) {
    const float value = values[static_cast<size_t>(i) % kPeriod];
    if (dtype == DType::f32)
      t.view.as<float>()[i] = value;
    else
      t.view.as<BFloat16>()[i] = to_bfloat16(value);
  }
  return t;
}

template <class Run>
void measure(benchmark::State& state, DType dtype, double flops, const Run& run) {
  run();  // touches all memory
  double best = 1e30, ceiling = ceiling_gflops(stream(), dtype);
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    run();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    state.SetIterationTime(seconds);
    best = std::min(best, seconds);
  }
  ceiling = std::max(ceiling, ceiling_gflops(stream(), dtype));
  state.counters["gflops"] = flops * 1e-9 / best;
  state.counters["ceiling_gflops"] = ceiling;
  state.counters["share_of_ceiling"] = flops * 1e-9 / best / ceiling;
  state.counters["threads"] = stream().pool->num_threads();
  state.SetLabel(std::string(current_cpu_isa()));
}

void gemm_8192x1024x1024(benchmark::State& state, DType dtype) {
  constexpr int64_t kRows = 8192, kDim = 1024;
  const Tensor x = random_tensor({kRows, kDim}, dtype), y({kRows, kDim}, DType::f32);
  const PackedMatrix w = PackedMatrix::pack(random_tensor({kDim, kDim}, DType::f32).view, dtype);
  measure(state, dtype, 2.0 * kRows * kDim * kDim, [&] { gemm(stream(), x.view, w, GemmOutput::store, y.view); });
}

// 8192 tokens, each to 4 of 128 experts at random.
void grouped_ffn_128_experts(benchmark::State& state, DType dtype) {
  constexpr int32_t kTokens = 8192, kSlots = 4;
  constexpr int64_t kDim = 1024, kFfn = 512;
  constexpr size_t kExperts = 128;
  std::vector<FfnWeights> weights;
  {
    const Tensor gate_up = random_tensor({2 * kFfn, kDim}, DType::f32), down = random_tensor({kDim, kFfn}, DType::f32);
    for (size_t e = 0; e < kExperts; ++e)
      weights.push_back(
          {PackedMatrix::pack(gate_up.view, dtype, RowOrder::gate_up), PackedMatrix::pack(down.view, dtype)});
  }
  std::vector<std::vector<int32_t>> slots_of(kExperts);
  for (int32_t t = 0; t < kTokens; ++t) {
    const uint64_t first = random_bits(3, static_cast<uint64_t>(t)) % kExperts;
    const uint64_t stride = 1 + 2 * (random_bits(4, static_cast<uint64_t>(t)) % (kExperts / 2));
    for (uint64_t j = 0; j < kSlots; ++j)
      slots_of[(first + j * stride) % kExperts].push_back(t * kSlots + static_cast<int32_t>(j));
  }
  std::vector<int64_t> offsets{0};
  std::vector<int32_t> input_row, output_row;
  for (const auto& slots : slots_of) {
    for (const int32_t slot : slots) {
      input_row.push_back(slot / kSlots);
      output_row.push_back(slot);
    }
    offsets.push_back(static_cast<int64_t>(input_row.size()));
  }
  const Tensor x = random_tensor({kTokens, kDim}, dtype), y({kTokens * kSlots, kDim}, dtype);
  measure(state, dtype, 2.0 * kTokens * kSlots * 3 * kDim * kFfn, [&] {
    grouped_ffn(stream(), x.view, {offsets, input_row, output_row}, weights, {}, GemmOutput::store, y.view);
  });
}

void attention_8x1024_16_4x64(benchmark::State& state) {
  constexpr int64_t kRecords = 8, kLength = 1024, kHeads = 16, kKvHeads = 4, kHeadDim = 64;
  const Tensor q = random_tensor({kRecords * kLength, kHeads, kHeadDim}, DType::f32);
  const Tensor k = random_tensor({kRecords * kLength, kKvHeads, kHeadDim}, DType::f32);
  const Tensor out({kRecords * kLength, kHeads, kHeadDim}, DType::f32);
  std::vector<int64_t> offsets;
  for (int64_t r = 0; r <= kRecords; ++r) offsets.push_back(r * kLength);
  const double pairs = kRecords * kHeads * (kLength * (kLength + 1) / 2);
  measure(state, DType::f32, 4 * kHeadDim * pairs, [&] {
    attention(stream(), q.view, k.view, k.view, view_of(std::span<const int64_t>(offsets)), 0.125f, out.view);
  });
}

void cross_entropy_8192x32000x1024(benchmark::State& state, DType dtype) {
  constexpr int64_t kRows = 8192, kVocab = 32000, kDim = 1024;
  const Tensor x = random_tensor({kRows, kDim}, dtype), target({kRows}, DType::i32);
  const PackedMatrix head = PackedMatrix::pack(random_tensor({kVocab, kDim}, DType::f32).view, dtype);
  const Tensor scratch({cross_entropy_scratch(kRows, kVocab)}, DType::f32), logprob({kRows}, DType::f32),
      argmax({kRows}, DType::i32);
  measure(state, dtype, 2.0 * kRows * kVocab * kDim,
          [&] { cross_entropy(stream(), x.view, head, target.view, scratch.view, logprob.view, argmax.view); });
}

// Manual time, fixed repetitions: the best of them is what is reported.
template <class Function, class... Args>
void add(const char* name, int iterations, Function function, Args... args) {
  benchmark::RegisterBenchmark(name, function, args...)
      ->UseManualTime()
      ->Iterations(iterations)
      ->Unit(benchmark::kMillisecond);
}

}  // namespace
}  // namespace switchyard::bench

int main(int argc, char** argv) {
  using namespace switchyard;
  using namespace switchyard::bench;
  set_cpu_isa(std::getenv("SWITCHYARD_CPU_ISA") != nullptr ? std::getenv("SWITCHYARD_CPU_ISA") : "auto");
  add("gemm_8192x1024x1024/f32", 10, gemm_8192x1024x1024, DType::f32);
  add("gemm_8192x1024x1024/bf16", 10, gemm_8192x1024x1024, DType::bf16);
  add("grouped_ffn_128_experts/f32", 5, grouped_ffn_128_experts, DType::f32);
  add("grouped_ffn_128_experts/bf16", 5, grouped_ffn_128_experts, DType::bf16);
  add("attention_8x1024_16_4x64/f32", 10, attention_8x1024_16_4x64);
  add("cross_entropy_8192x32000x1024/f32", 3, cross_entropy_8192x32000x1024, DType::f32);
  add("cross_entropy_8192x32000x1024/bf16", 3, cross_entropy_8192x32000x1024, DType::bf16);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 64;
  benchmark::RunSpecifiedBenchmarks();
}
