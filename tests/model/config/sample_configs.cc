#include "tests/model/config/sample_configs.h"

#include <cmath>

namespace switchyard::test {
namespace {

ModelConfig model() {
  return {.family = "switchyard", .vocab_size = 83, .hidden_size = 48, .rms_norm_eps = 1e-6, .max_positions = 64};
}

}  // namespace

ModelConfig sample_plain() {
  ModelConfig c = model();
  AttentionConfig attention = AttentionConfig::of_heads(4, 2, 16, 10'000);
  attention.qk_norm = QkNorm::before_rotary;
  const MoeConfig moe{
      .router = {.num_experts = 7, .experts_per_token = 3, .renormalise = true}, .expert_size = 24, .shared_size = 40};
  c.layers = {{attention, DenseConfig{56}}, {attention, moe}, {attention, moe}};
  return c;
}

ModelConfig sample_latent(bool direct) {
  ModelConfig c = model();
  c.family = "deepseek_v3";
  const AttentionConfig attention{.num_heads = 3,
                                  .num_kv_heads = 3,
                                  .head_dim = 18,
                                  .value_dim = 10,
                                  .scale = 0.3,
                                  .projections = LatentProjections{.query_rank = direct ? 0 : 20, .kv_rank = 12},
                                  .input_bias = !direct,
                                  .output_bias = !direct,
                                  .rotary = {.theta = 10'000, .first = 12, .dim = 6, .pairs = RotaryPairs::adjacent}};
  const MoeConfig moe{.router = {.num_experts = 12,
                                 .experts_per_token = 3,
                                 .selection_bias = true,
                                 .scores = RouterScores::sigmoid,
                                 .renormalise = direct,
                                 .scale = 2.5,
                                 .num_groups = 4,
                                 .kept_groups = 2},
                      .expert_size = 24,
                      .shared_size = 48};
  c.layers = {{attention, DenseConfig{56}}, {attention, moe}, {attention, moe}};
  return c;
}

ModelConfig sample_sinks() {
  ModelConfig c = model();
  c.family = "gpt_oss";
  AttentionConfig full = AttentionConfig::of_heads(4, 2, 16, 10'000);
  full.input_bias = full.output_bias = full.sinks = true;
  full.rotary.scaling = YarnScaling{.factor = 8, .original_positions = 16};
  AttentionConfig slides = full;
  slides.span = {KeySpan::Kind::window, 5};
  const MoeConfig moe{.router = {.num_experts = 7, .experts_per_token = 2, .bias = true, .renormalise = true},
                      .expert_size = 24,
                      .biases = true,
                      .activation = {.clamped = true, .alpha = 1.702, .limit = 0.01}};
  c.layers = {{slides, moe}, {slides, moe}, {full, moe}};
  return c;
}

ModelConfig sample_chunks() {
  ModelConfig c = model();
  c.family = "llama4_text";
  AttentionConfig turned = AttentionConfig::of_heads(4, 2, 16, 10'000);
  turned.qk_norm = QkNorm::after_rotary;
  turned.rotary.pairs = RotaryPairs::adjacent;
  turned.span = {KeySpan::Kind::chunk, 7};
  AttentionConfig straight = AttentionConfig::of_heads(4, 2, 16, 0);
  straight.rotary = {};
  straight.temperature = {.scale = 0.1, .floor = 6};
  const MoeConfig moe{.router = {.num_experts = 7, .experts_per_token = 1, .scores = RouterScores::sigmoid},
                      .expert_size = 24,
                      .shared_size = 24,
                      .scaled_input = true};
  c.layers = {{turned, moe}, {turned, DenseConfig{40}}, {straight, moe}};
  return c;
}

std::vector<std::pair<std::string, ModelConfig>> sample_configs() {
  return {{"plain", sample_plain()},
          {"latent", sample_latent(false)},
          {"latent_direct_queries", sample_latent(true)},
          {"sinks", sample_sinks()},
          {"chunks", sample_chunks()}};
}

}  // namespace switchyard::test
