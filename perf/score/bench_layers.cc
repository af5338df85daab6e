// Whole layers as the decoder runs them, of released models' shapes scaled down: attention with windows and sinks, or
// from latents, and experts. 8,192 tokens in records of 512, as a share of the plain product's rate in the same run;
// operations are those of products, and of the pairs of query and key that see each other.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdlib>

#include "model/engine.h"
#include "model/random_model.h"
#include "perf/operations.h"
#include "share_of_ceiling.h"

namespace switchyard::bench {
namespace {

constexpr int64_t kTokens = 8192, kRecord = 512;

/// gpt-oss-120b at half its width and a quarter of its experts: a layer with a window, one without.
ModelConfig gpt_oss() {
  ModelConfig c = reference_config("gpt-oss-120b");
  c.vocab_size = 1000;
  c.hidden_size = 1440;
  c.layers.resize(2);
  for (LayerConfig& layer : c.layers) {
    layer.attention.num_heads = 32;
    layer.attention.num_kv_heads = 4;
    auto& moe = std::get<MoeConfig>(layer.feed_forward);
    moe.expert_size = 1440;
    moe.router.num_experts = 32;
  }
  return c;
}

/// DeepSeek-V3 at a quarter of its width and experts; heads are of its size.
ModelConfig deepseek_v3() {
  ModelConfig c{
      .family = "deepseek_v3", .vocab_size = 1000, .hidden_size = 1792, .rms_norm_eps = 1e-6, .max_positions = 4096};
  const AttentionConfig attention{.num_heads = 32,
                                  .num_kv_heads = 32,
                                  .head_dim = 192,
                                  .value_dim = 128,
                                  .scale = 1 / std::sqrt(192.0),
                                  .projections = LatentProjections{.query_rank = 384, .kv_rank = 512},
                                  .rotary = {.theta = 10'000, .first = 128, .dim = 64, .pairs = RotaryPairs::adjacent}};
  const MoeConfig moe{.router = {.num_experts = 64,
                                 .experts_per_token = 8,
                                 .selection_bias = true,
                                 .scores = RouterScores::sigmoid,
                                 .renormalise = true,
                                 .scale = 2.5,
                                 .num_groups = 8,
                                 .kept_groups = 4},
                      .expert_size = 512,
                      .shared_size = 512};
  c.layers.assign(2, {attention, moe});
  return c;
}

void layers(benchmark::State& state, const ModelConfig& config, DType operand) {
  const char* threads = std::getenv("SWITCHYARD_BENCH_THREADS");
  const auto group = make_self_communicator();
  Engine engine(config, random_model,
                {.operand = operand,
                 .threads = threads != nullptr ? std::atoi(threads) : available_cores(),
                 .limits = {.max_tokens = kTokens, .max_record = kRecord},
                 .exchange_bytes = 1 << 20},
                *group);
  Batch batch;
  for (int64_t record = 0; record < kTokens / kRecord; ++record) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < kRecord; ++i)
      ids.push_back(static_cast<int32_t>((record * 7919 + i * 104729) % config.vocab_size));
    batch.add(ids);
  }
  const auto run = [&] {
    const ArenaScope scope(engine.arena());
    engine.decoder().forward(engine.stream(), engine.arena(), batch);
  };
  const double attending = attention_operations(config, kRecord), per_token = layer_operations(config) + attending;
  measure_share(state, engine.stream(), operand, static_cast<double>(kTokens) * per_token, run);
  state.counters["share_of_attention"] = attending / per_token;
}

void gpt_oss_layers(benchmark::State& state, DType operand) {
  layers(state, gpt_oss(), operand);
}
void deepseek_v3_layers(benchmark::State& state, DType operand) {
  layers(state, deepseek_v3(), operand);
}

#define SWITCHYARD_LAYERS(name)                                                                            \
  BENCHMARK_CAPTURE(name, f32, DType::f32)->UseManualTime()->Iterations(5)->Unit(benchmark::kMillisecond); \
  BENCHMARK_CAPTURE(name, bf16, DType::bf16)->UseManualTime()->Iterations(5)->Unit(benchmark::kMillisecond)
SWITCHYARD_LAYERS(gpt_oss_layers);
SWITCHYARD_LAYERS(deepseek_v3_layers);

}  // namespace
}  // namespace switchyard::bench

BENCHMARK_MAIN();
