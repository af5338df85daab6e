#include <array>

#include "model/config.h"

namespace switchyard {
namespace {

ModelConfig seed_23b() {
  ModelConfig c{.family = "switchyard",
                .vocab_size = 102'400,
                .hidden_size = 1024,
                .rms_norm_eps = 1e-5,
                .max_positions = 32'768};
  c.layers.assign(
      28, {.attention = {.num_heads = 16, .num_kv_heads = 16, .head_dim = 64, .rotary = {10'000}},
           .feed_forward = MoeConfig{.router = {.num_experts = 128, .experts_per_token = 4, .renormalise = true},
                                     .expert_size = 2048,
                                     .shared_size = 2048}});
  return c;
}

ModelConfig qwen3_30b_a3b() {
  ModelConfig c{
      .family = "qwen3_moe", .vocab_size = 151'936, .hidden_size = 2048, .rms_norm_eps = 1e-6, .max_positions = 40'960};
  c.layers.assign(
      48, {.attention = {.num_heads = 32, .num_kv_heads = 4, .head_dim = 128, .qk_norm = true, .rotary = {1'000'000}},
           .feed_forward = MoeConfig{.router = {.num_experts = 128, .experts_per_token = 8, .renormalise = true},
                                     .expert_size = 768}});
  return c;
}

/// The sizes of gpt-oss-120b (its config.json), computed as the family `switchyard` computes: what it has
/// besides (attention sinks, 128-token windows, biases, YaRN, a clamped activation) is not part of it. For memory and
/// speed, not for its checkpoint.
ModelConfig gpt_oss_120b() {
  ModelConfig c{.family = "switchyard",
                .vocab_size = 201'088,
                .hidden_size = 2880,
                .rms_norm_eps = 1e-5,
                .max_positions = 131'072};
  c.layers.assign(
      36, {.attention = {.num_heads = 64, .num_kv_heads = 8, .head_dim = 64, .rotary = {150'000}},
           .feed_forward = MoeConfig{.router = {.num_experts = 128, .experts_per_token = 4, .renormalise = true},
                                     .expert_size = 2880}});
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
