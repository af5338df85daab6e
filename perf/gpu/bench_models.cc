// A layer, and whole models, as the decoder calls them.
#include <algorithm>

#include "kernels/rows/cast.h"
#include "model/moe_layer.h"
#include "random_engine.h"

namespace switchyard::bench {
namespace {

constexpr int64_t kTokens = 16'384, kRecord = 1024;

int64_t touched_experts(const std::vector<int64_t>& before, const std::vector<int64_t>& after) {
  int64_t touched = 0;
  for (size_t e = 0; e < after.size(); ++e) touched += after[e] > before[e];
  return touched;
}

/// The layer's experts and router for `tokens` tokens. Leaves what it computed in the arena's end.
void measure_layer(RandomEngine& engine, int64_t tokens) {
  const ModelConfig& c = engine.weights().config;
  const LayerWeights& w = engine.weights().layers.front();
  const Stream& stream = engine.stream();
  const OwnedTensor u =
      engine.bench().random({tokens, c.hidden_size}, DType::f32, 1, 1.732f);  // as normed: mean square 1
  OwnedTensor x = engine.bench().random({tokens, c.hidden_size}, DType::f32, 2, 1),
              rounded(x.view().shape, DType::bf16, Device::cuda);
  cast(stream, u.view(), rounded.view());
  const auto run = [&] {
    moe_layer(stream, engine.arena(), c.moe(), w, 0, engine.exchange(), u.view(), rounded.view(), x.view());
  };

  engine.exchange().fetch_counters(stream);
  const std::vector<int64_t> before = engine.exchange().counters().tokens_per_expert;
  run();
  engine.exchange().fetch_counters(stream);
  const std::vector<int64_t>& after = engine.exchange().counters().tokens_per_expert;
  const auto touched = static_cast<double>(touched_experts(before, after));
  const Timing timing = time_on_device(stream, run);

  const auto t = static_cast<double>(tokens), d = static_cast<double>(c.hidden_size);
  const double expert = 3 * d * static_cast<double>(c.moe().expert_size),
               k = static_cast<double>(c.experts_per_token());
  const double router = d * static_cast<double>(c.num_experts());
  const Json more = {{"tokens", tokens}, {"experts_touched", touched}};
  const std::string what = fmt::format("qwen3-30b-a3b layer, {} tokens, bf16", tokens);
  if (tokens >= 1024)
    return engine.bench().report_flops("moe_layer", what, timing, t * 2 * (router + k * expert), 0.45, more);
  // Weights alone: rows are a few per cent of that.
  engine.bench().report_bytes("moe_layer", what + ": weights", timing, touched * expert * 2 + router * 4, 0.80, more);
}

}  // namespace

void bench_moe_layer() {
  ModelConfig c = reference_config("qwen3-30b-a3b");
  c.layers.resize(1);
  c.vocab_size = 128;  // not used
  RandomEngine engine(c, DType::bf16, {kTokens, kRecord});
  for (const int64_t tokens : {kTokens, int64_t{4096}, int64_t{1024}, int64_t{64}}) measure_layer(engine, tokens);
}

namespace {

/// All records forward and scored: what the score job does with a batch.
void measure_model(const std::string& benchmark, const std::string& name, int64_t records, double target_share,
                   double target_seconds) {
  const ModelConfig c = reference_config(name);
  RandomEngine engine(c, DType::bf16, {records * kRecord, kRecord});
  const Batch batch = random_batch(c, records, kRecord);
  TokenScores scores;
  const auto forward = [&] {
    const ArenaScope scope(engine.arena());
    engine.forward(batch);
  };
  const auto forward_and_score = [&] {
    const ArenaScope scope(engine.arena());
    scores = engine.score(batch, engine.forward(batch));
  };
  const Timing forward_time = time_until_done(engine.stream(), forward);
  const Timing timing = time_until_done(engine.stream(), forward_and_score);
  const auto [least, most] = std::ranges::minmax(scores.logprob);
  if (!(least > -100 && most < 0)) fail(ExitCode::internal, "log-probabilities from {} to {}", least, most);

  const double flops = product_flops(c, records, kRecord);
  const auto weights =
      static_cast<double>(predict_weight_bytes(c, DType::bf16, c.num_experts(), 1, Device::cuda).resident);
  const double streaming = weights / engine.bench().ceilings().bytes_per_second;
  const double multiplying = flops / engine.bench().ceilings().flops_per_second;
  const Json more = {{"tokens_per_second", static_cast<double>(batch.tokens()) / timing.median},
                     {"forward_ms", 1e3 * forward_time.median},
                     {"streaming_weights_at_ceiling_ms", 1e3 * streaming},
                     {"multiplying_at_ceiling_ms", 1e3 * multiplying},
                     {"seconds_to_make_weights", engine.seconds_to_make()}};
  const std::string what = fmt::format("{}, {} × {} tokens, bf16, forward and scores", name, records, kRecord);
  if (target_seconds > 0)
    engine.bench().report_time(benchmark, what, timing, target_seconds, more);
  else
    engine.bench().report_flops(benchmark, what, timing, flops, target_share, more);
}

}  // namespace

void bench_prefill() {
  measure_model("prefill", "qwen3-30b-a3b", kTokens / kRecord, 0.50, 0);
}

void bench_latency() {
  const bool fast_memory = device_info(0).name.find("H200") != std::string::npos;
  measure_model("latency", "seed-23B", 1, 0, fast_memory ? 16e-3 : 21e-3);
}

}  // namespace switchyard::bench
