// The kernels that take the time, each as GFLOP/s and as a share of what oneDNN's plain product reaches in the same
// run.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <vector>

#include "base/rng.h"
#include "kernels/attention/attention.h"
#include "kernels/products/gemm.h"
#include "kernels/products/grouped_ffn.h"
#include "kernels/vocabulary/cross_entropy.h"
#include "share_of_ceiling.h"

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

void gemm_8192x1024x1024(benchmark::State& state, DType dtype) {
  constexpr int64_t kRows = 8192, kDim = 1024;
  const Tensor x = random_tensor({kRows, kDim}, dtype), y({kRows, kDim}, DType::f32);
  const PackedMatrix w = PackedMatrix::pack(random_tensor({kDim, kDim}, DType::f32).view, dtype);
  measure_share(state, stream(), dtype, 2.0 * kRows * kDim * kDim,
                [&] { gemm(stream(), x.view, w, GemmOutput::store, y.view); });
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
  measure_share(state, stream(), dtype, 2.0 * kTokens * kSlots * 3 * kDim * kFfn, [&] {
    grouped_ffn(stream(), x.view, {offsets, input_row, output_row}, weights, {}, GemmOutput::store, y.view);
  });
}

struct AttentionShape {
  int64_t records, length, heads, kv_heads, head_dim, value_dim;
  KeySpan span = {};
};

// Counted by the pairs of query and key that are seen.
void attention_of(benchmark::State& state, const AttentionShape& s) {
  const int64_t tokens = s.records * s.length;
  const Tensor q = random_tensor({tokens, s.heads, s.head_dim}, DType::f32);
  const Tensor k = random_tensor({tokens, s.kv_heads, s.head_dim}, DType::f32);
  const Tensor v = random_tensor({tokens, s.kv_heads, s.value_dim}, DType::f32);
  const Tensor out({tokens, s.heads, s.value_dim}, DType::f32);
  std::vector<int64_t> offsets;
  for (int64_t r = 0; r <= s.records; ++r) offsets.push_back(r * s.length);
  int64_t keys = 0;  // of a record's queries together
  for (int64_t t = 0; t < s.length; ++t) keys += t + 1 - s.span.first_key(t);
  const auto pairs = static_cast<double>(s.records * s.heads * keys);
  measure_share(state, stream(), DType::f32, 2 * static_cast<double>(s.head_dim + s.value_dim) * pairs, [&] {
    attention(stream(), q.view, k.view, v.view, view_of(std::span<const int64_t>(offsets)), s.span, {}, 0.125f,
              out.view);
  });
}

void cross_entropy_8192x32000x1024(benchmark::State& state, DType dtype) {
  constexpr int64_t kRows = 8192, kVocab = 32000, kDim = 1024;
  const Tensor x = random_tensor({kRows, kDim}, dtype), target({kRows}, DType::i32);
  const PackedMatrix head = PackedMatrix::pack(random_tensor({kVocab, kDim}, DType::f32).view, dtype);
  const Tensor scratch({cross_entropy_scratch(kRows, kVocab)}, DType::f32), logprob({kRows}, DType::f32),
      argmax({kRows}, DType::i32);
  measure_share(state, stream(), dtype, 2.0 * kRows * kVocab * kDim,
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
  constexpr KeySpan kWindow{KeySpan::Kind::window, 128};
  add("attention_8x1024_16_4x64/f32", 10, attention_of, AttentionShape{8, 1024, 16, 4, 64, 64});
  add("attention_1x1024_64_8x64_window_128/f32", 10, attention_of, AttentionShape{1, 1024, 64, 8, 64, 64, kWindow});
  add("attention_1x2048_64_8x64_window_128/f32", 10, attention_of, AttentionShape{1, 2048, 64, 8, 64, 64, kWindow});
  add("attention_1x4096_64_8x64_window_128/f32", 10, attention_of, AttentionShape{1, 4096, 64, 8, 64, 64, kWindow});
  add("attention_1x8192_64_8x64_window_128/f32", 10, attention_of, AttentionShape{1, 8192, 64, 8, 64, 64, kWindow});
  add("attention_8x1024_16_16x64_window_128/f32", 10, attention_of, AttentionShape{8, 1024, 16, 16, 64, 64, kWindow});
  add("attention_2x512_128_128x192x128/f32", 10, attention_of, AttentionShape{2, 512, 128, 128, 192, 128});
  add("cross_entropy_8192x32000x1024/f32", 3, cross_entropy_8192x32000x1024, DType::f32);
  add("cross_entropy_8192x32000x1024/bf16", 3, cross_entropy_8192x32000x1024, DType::bf16);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 64;
  benchmark::RunSpecifiedBenchmarks();
}
