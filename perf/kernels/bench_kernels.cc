// The kernels that take the time, each as GFLOP/s and as a share of what oneDNN's plain product reaches in the same
// run.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kernels/attention/attention.h"
#include "kernels/products/gemm.h"
#include "kernels/products/grouped_ffn.h"
#include "kernels/products/weight_gradient.h"
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

/// Tensors of an attention's call, and the pairs of query and key that are seen, by which operations are counted.
struct AttentionCall {
  AttentionShape shape;
  Tensor q, k, v, out, lse;
  std::vector<int64_t> offsets;
  double pairs;

  explicit AttentionCall(const AttentionShape& s)
      : shape(s),
        q(random_tensor({s.records * s.length, s.heads, s.head_dim}, DType::f32)),
        k(random_tensor({s.records * s.length, s.kv_heads, s.head_dim}, DType::f32)),
        v(random_tensor({s.records * s.length, s.kv_heads, s.value_dim}, DType::f32)),
        out({s.records * s.length, s.heads, s.value_dim}, DType::f32),
        lse({s.records * s.length, s.heads}, DType::f32) {
    for (int64_t r = 0; r <= s.records; ++r) offsets.push_back(r * s.length);
    int64_t keys = 0;  // of a record's queries together
    for (int64_t t = 0; t < s.length; ++t) keys += t + 1 - s.span.first_key(t);
    pairs = static_cast<double>(s.records * s.heads * keys);
  }
  void forward(View logarithms) const {
    attention(stream(), q.view, k.view, v.view, view_of(offsets), shape.span, {}, kScale, logarithms, out.view);
  }
  static constexpr float kScale = 0.125f;
};

void attention_of(benchmark::State& state, const AttentionShape& s) {
  const AttentionCall call(s);
  measure_share(state, stream(), DType::f32, 2 * static_cast<double>(s.head_dim + s.value_dim) * call.pairs,
                [&] { call.forward({}); });
}

void attention_backward_of(benchmark::State& state, const AttentionShape& s) {
  const AttentionCall call(s);
  call.forward(call.lse.view);
  const Tensor d_out = random_tensor(call.out.view.shape, DType::f32);
  const Tensor dq(call.q.view.shape, DType::f32), dk(call.k.view.shape, DType::f32), dv(call.v.view.shape, DType::f32);
  measure_share(
      state, stream(), DType::f32, 2 * static_cast<double>(3 * s.head_dim + 2 * s.value_dim) * call.pairs, [&] {
        attention_backward(stream(), call.q.view, call.k.view, call.v.view, view_of(call.offsets), s.span, {},
                           AttentionCall::kScale, call.out.view, call.lse.view, d_out.view, dq.view, dk.view, dv.view);
      });
}

void cross_entropy_8192x32000x1024(benchmark::State& state, DType dtype) {
  constexpr int64_t kRows = 8192, kVocab = 32000, kDim = 1024;
  const Tensor x = random_tensor({kRows, kDim}, dtype), target({kRows}, DType::i32);
  const PackedMatrix head = PackedMatrix::pack(random_tensor({kVocab, kDim}, DType::f32).view, dtype);
  const Tensor scratch({cross_entropy_scratch(kRows, kVocab)}, DType::f32), logprob({kRows}, DType::f32),
      argmax({kRows}, DType::i32);
  measure_share(state, stream(), dtype, 2.0 * kRows * kVocab * kDim, [&] {
    cross_entropy(stream(), x.view, head, target.view, scratch.view, {}, logprob.view, argmax.view);
  });
}

struct GradientShape {
  int64_t groups, rows, n, k, slices;  // rows of each group
};

// Also as a share of the time that its operations or, where that is longer, writing its results take at least.
void weight_gradient_of(benchmark::State& state, const GradientShape& s, DType operand) {
  const Tensor dy = random_tensor({s.groups * s.rows, s.n}, operand),
               x = random_tensor({s.groups * s.rows, s.k}, operand);
  const Tensor results({s.groups * s.n, s.k}, DType::f32);
  std::vector<View> out;
  for (int64_t g = 0; g < s.groups; ++g) out.push_back(results.view.slice(g * s.n, s.n));
  std::vector<int64_t> offsets;
  for (int64_t i = 0; i <= s.groups * s.slices; ++i) offsets.push_back(i * s.rows / s.slices);
  const double flops = 2.0 * static_cast<double>(dy.view.elements() * s.k);
  measure_share(state, stream(), operand, flops, [&] {
    weight_gradient(stream(), dy.view, x.view, {{0, s.slices}, offsets}, {}, out);
  });
  const double writing = static_cast<double>(results.view.bytes()) / ceiling_write_gbytes(stream());
  const double computing = flops / state.counters["ceiling_gflops"];
  state.counters["share_of_bound"] = state.counters["gflops"] * std::max(writing, computing) / flops;
}

// 64 matrices [1024, 1024] written over, each from f32: bytes read and written, beside a copy's.
void rewrite_64x1024x1024(benchmark::State& state, DType operand, bool transposed) {
  constexpr int64_t kMatrices = 64, kSize = 1024;
  const Tensor source = random_tensor({kMatrices, kSize, kSize}, DType::f32);
  std::vector<PackedMatrix> packed;
  for (int64_t i = 0; i < kMatrices; ++i) packed.push_back(PackedMatrix::uninitialised(kSize, kSize, operand));
  double best = 1e30;
  for (auto _ : state) {
    const double start = seconds_now();
    stream().parallel_for(kMatrices, [&](int64_t i, int) {
      const ConstView w = source.view.slice(i, 1).reshaped({kSize, kSize});
      PackedMatrix& to = packed[static_cast<size_t>(i)];
      transposed ? to.rewrite_transposed(nullptr, w) : to.rewrite(nullptr, w);
    });
    const double seconds = seconds_now() - start;
    state.SetIterationTime(seconds);
    best = std::min(best, seconds);
  }
  const auto bytes = static_cast<double>(source.view.bytes() + kMatrices * packed[0].bytes());
  state.counters["gbytes_per_s"] = 1e-9 * bytes / best;
  state.counters["share_of_copy"] = 1e-9 * bytes / best / ceiling_copy_gbytes(stream());
}

// Manual time, fixed repetitions: the best of them is what is reported.
template <class Function, class... Args>
void add(const std::string& name, int iterations, Function function, Args... args) {
  benchmark::RegisterBenchmark(name.c_str(), function, args...)
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
  add("attention_backward_8x256_8_4x32/f32", 10, attention_backward_of, AttentionShape{8, 256, 8, 4, 32, 32});
  add("attention_backward_8x1024_16_4x64/f32", 5, attention_backward_of, AttentionShape{8, 1024, 16, 4, 64, 64});
  add("attention_backward_1x4096_32_4x128/f32", 3, attention_backward_of, AttentionShape{1, 4096, 32, 4, 128, 128});
  add("cross_entropy_8192x32000x1024/f32", 3, cross_entropy_8192x32000x1024, DType::f32);
  add("cross_entropy_8192x32000x1024/bf16", 3, cross_entropy_8192x32000x1024, DType::bf16);
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const int64_t rows : {64, 512})
      for (const int64_t k : {256, 128})
        add(fmt::format("weight_gradient_128x{}_256x{}/{}", rows, k, name_of(dtype)), 20, weight_gradient_of,
            GradientShape{128, rows, 256, k, 8}, dtype);
  add("weight_gradient_32x512_1024x1024/f32", 5, weight_gradient_of, GradientShape{32, 512, 1024, 1024, 8}, DType::f32);
  add("weight_gradient_1x32768_1024x1024/f32", 5, weight_gradient_of, GradientShape{1, 32768, 1024, 1024, 8},
      DType::f32);
  add("rewrite_64x1024x1024/f32", 10, rewrite_64x1024x1024, DType::f32, false);
  add("rewrite_64x1024x1024/bf16", 10, rewrite_64x1024x1024, DType::bf16, false);
  add("rewrite_transposed_64x1024x1024/f32", 10, rewrite_64x1024x1024, DType::f32, true);
  add("rewrite_transposed_64x1024x1024/bf16", 10, rewrite_64x1024x1024, DType::bf16, true);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 64;
  benchmark::RunSpecifiedBenchmarks();
}
