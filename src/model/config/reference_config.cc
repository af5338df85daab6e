#include <array>

#include "model/config/model_config.h"

namespace switchyard {
namespace {

ModelConfig seed_23b() {
  ModelConfig c{.family = "switchyard",
                .vocab_size = 102'400,
                .hidden_size = 1024,
                .rms_norm_eps = 1e-5,
                .max_positions = 32'768};
  c.layers.assign(
      28, {.attention = AttentionConfig::of_heads(16, 16, 64, 10'000),
           .feed_forward = MoeConfig{.router = {.num_experts = 128, .experts_per_token = 4, .renormalise = true},
                                     .expert_size = 2048,
                                     .shared_size = 2048}});
  return c;
}

ModelConfig qwen3_30b_a3b() {
  ModelConfig c{
      .family = "qwen3_moe", .vocab_size = 151'936, .hidden_size = 2048, .rms_norm_eps = 1e-6, .max_positions = 40'960};
  AttentionConfig attention = AttentionConfig::of_heads(32, 4, 128, 1'000'000);
  attention.qk_norm = QkNorm::before_rotary;
  c.layers.assign(
      48, {.attention = attention,
           .feed_forward = MoeConfig{.router = {.num_experts = 128, .experts_per_token = 8, .renormalise = true},
                                     .expert_size = 768}});
  return c;
}

ModelConfig gpt_oss_120b() {
  ModelConfig c{
      .family = "gpt_oss", .vocab_size = 201'088, .hidden_size = 2880, .rms_norm_eps = 1e-5, .max_positions = 131'072};
  AttentionConfig attention = AttentionConfig::of_heads(64, 8, 64, 150'000);
  attention.input_bias = attention.output_bias = attention.sinks = true;
  attention.rotary.scaling = YarnScaling{.factor = 32, .original_positions = 4096, .truncate = false};
  c.layers.assign(36, {.attention = attention,
                       .feed_forward = MoeConfig{
                           .router = {.num_experts = 128, .experts_per_token = 4, .bias = true, .renormalise = true},
                           .expert_size = 2880,
                           .biases = true,
                           .activation = {.clamped = true, .alpha = 1.702, .limit = 7}}});
  for (size_t i = 0; i < c.layers.size(); i += 2) c.layers[i].attention.span = {KeySpan::Kind::window, 128};
  return c;
}

struct Reference {
  std::string_view name;
  ModelConfig (*make)();
};
constexpr std::array<Reference, 3> kReferences = {
    {{"seed-23B", seed_23b}, {"qwen3-30b-a3b", qwen3_30b_a3b}, {"gpt-oss-120b", gpt_oss_120b}}};

}  // namespace

ModelConfig reference_config(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Reference& reference : kReferences) {
    if (reference.name == name) return reference.make();
    names.push_back(reference.name);
  }
  fail(ExitCode::usage, "no reference configuration \"{}\"; these are: {}", name, fmt::join(names, ", "));
}

}  // namespace switchyard
