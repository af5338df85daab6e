// One MoE layer as the decoder calls it (router, top-k, experts, combine), as a share of the plain product's rate.
#include <benchmark/benchmark.h>

#include <cstdlib>

#include "base/rng.h"
#include "kernels/rows/cast.h"
#include "model/moe_layer.h"
#include "share_of_ceiling.h"

namespace switchyard::bench {
namespace {

constexpr int64_t kTokens = 8192;

constexpr int64_t kDim = 1024;
constexpr MoeConfig kLayer{.router = {.num_experts = 128, .experts_per_token = 4, .renormalise = true},
                           .expert_size = 512};

OwnedTensor random_tensor(const Shape& shape, float scale, uint64_t seed) {
  OwnedTensor t(shape, DType::f32);
  const auto values = t.view().span<float>();
  for (size_t i = 0; i < values.size(); ++i) values[i] = scale * (random_uniform(seed, i) - 0.5f);
  return t;
}

LayerWeights random_layer(DType operand) {
  const int64_t d = kDim, f = kLayer.expert_size, experts = kLayer.router.num_experts;
  LayerWeights w;
  w.router.weight = PackedMatrix::pack(random_tensor({experts, d}, 0.1f, 1).view(), DType::f32);
  for (int64_t e = 0; e < experts; ++e) {
    const auto seed = static_cast<uint64_t>(10 + e);
    w.experts.push_back(
        {.gate_up = PackedMatrix::pack(random_tensor({2 * f, d}, 0.1f, seed).view(), operand, RowOrder::gate_up),
         .down = PackedMatrix::pack(random_tensor({d, f}, 0.1f, seed + 1000).view(), operand)});
  }
  return w;
}

void moe_layer_8192_tokens(benchmark::State& state, DType operand) {
  const char* threads = std::getenv("SWITCHYARD_BENCH_THREADS");
  ThreadPool pool(threads != nullptr ? std::atoi(threads) : available_cores());
  const Stream stream{Device::cpu, &pool, {}};
  const LayerWeights w = random_layer(operand);
  const OwnedTensor u = random_tensor({kTokens, kDim}, 2.0f, 3);
  OwnedTensor x = random_tensor({kTokens, kDim}, 2.0f, 4), rounded(u.view().shape, operand);
  cast(stream, u.view(), rounded.view());
  const auto group = make_self_communicator();
  const auto exchange = make_exchange(*group, {.placement = ExpertPlacement::blocks(128, 1),
                                               .dim = kDim,
                                               .top_k = 4,
                                               .dtype = operand,
                                               .exchange_bytes = 1 << 20});
  Measurement measured;
  Arena need = Arena::measuring(Device::cpu);
  moe_layer(Stream::measuring(Device::cpu, measured), need, kLayer, w, 0, *exchange->measuring(), u.view(),
            rounded.view(), x.view());
  Arena arena(need.high_water());

  const auto run = [&] { moe_layer(stream, arena, kLayer, w, 0, *exchange, u.view(), rounded.view(), x.view()); };
  const auto tokens = static_cast<double>(kTokens), d = static_cast<double>(kDim);
  const double flops = tokens * 2 * d * (128 + 4 * 3 * static_cast<double>(kLayer.expert_size));
  measure_share(state, stream, operand, flops, run);
}

BENCHMARK_CAPTURE(moe_layer_8192_tokens, f32, DType::f32)
    ->UseManualTime()
    ->Iterations(5)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(moe_layer_8192_tokens, bf16, DType::bf16)
    ->UseManualTime()
    ->Iterations(5)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace switchyard::bench

BENCHMARK_MAIN();
