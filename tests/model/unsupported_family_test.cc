// Families that released checkpoints come in and that are not implemented: refused by name, as their config.json
// stands.
#include <gtest/gtest.h>

#include <ostream>

#include "model/config.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

struct Unsupported {
  const char* family;
  const char* config;
};
std::ostream& operator<<(std::ostream& out, const Unsupported& u) {
  return out << u.family;
}

constexpr Unsupported kUnsupported[] = {
    {"gpt_oss",
     R"({"architectures": ["GptOssForCausalLM"], "attention_bias": true, "head_dim": 32,
      "hidden_act": "silu", "hidden_size": 96, "initial_context_length": 128, "intermediate_size": 64,
      "layer_types": ["sliding_attention", "full_attention"], "max_position_embeddings": 4096, "model_type":
      "gpt_oss", "num_attention_heads": 6, "num_experts_per_tok": 4, "num_hidden_layers": 2,
      "num_key_value_heads": 2, "num_local_experts": 128, "rms_norm_eps": 1e-05, "rope_scaling": {"beta_fast":
      32.0, "beta_slow": 1.0, "factor": 32.0, "original_max_position_embeddings": 128, "rope_type": "yarn",
      "truncate": false}, "rope_theta": 150000.0, "sliding_window": 32, "swiglu_limit": 7.0,
      "tie_word_embeddings": false, "vocab_size": 1031})"},
    {"deepseek_v3", R"({"architectures": ["DeepseekV3ForCausalLM"], "attention_bias": false,
      "first_k_dense_replace": 1, "head_dim": 8, "hidden_act": "silu", "hidden_size": 96, "intermediate_size":
      200, "kv_lora_rank": 32, "max_position_embeddings": 512, "model_type": "deepseek_v3",
      "moe_intermediate_size": 40, "n_group": 8, "n_routed_experts": 128, "n_shared_experts": 1,
      "norm_topk_prob": true, "num_attention_heads": 4, "num_experts_per_tok": 8, "num_hidden_layers": 3,
      "num_key_value_heads": 4, "q_lora_rank": 48, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8,
      "rms_norm_eps": 1e-06, "rope_interleave": true, "rope_scaling": null, "rope_theta": 10000.0,
      "routed_scaling_factor": 2.5, "tie_word_embeddings": false, "topk_group": 4, "v_head_dim": 24,
      "vocab_size": 1031})"},
    {"glm4_moe",
     R"({"architectures": ["Glm4MoeForCausalLM"], "attention_bias": true, "first_k_dense_replace":
      1, "head_dim": 32, "hidden_act": "silu", "hidden_size": 96, "intermediate_size": 200,
      "max_position_embeddings": 512, "model_type": "glm4_moe", "moe_intermediate_size": 40, "n_group": 1,
      "n_routed_experts": 128, "n_shared_experts": 1, "norm_topk_prob": true, "num_attention_heads": 6,
      "num_experts_per_tok": 8, "num_hidden_layers": 3, "num_key_value_heads": 2, "partial_rotary_factor": 0.5,
      "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 10000.0, "routed_scaling_factor": 1.7,
      "tie_word_embeddings": false, "topk_group": 1, "use_qk_norm": true, "vocab_size": 1031})"}};

class UnsupportedFamily : public ::testing::TestWithParam<Unsupported> {};

TEST_P(UnsupportedFamily, IsRefusedByName) {
  const TemporaryDirectory model;
  const auto path = model.write("config.json", GetParam().config);
  EXPECT_TRUE(fails_input({path.native(), GetParam().family, "not supported", "qwen3_moe", "mixtral", "switchyard"},
                          [&] { read_model_config(model.path()); }));
}

/// Calling it by a supported name does not make it one: its other fields give it away.
TEST_P(UnsupportedFamily, IsRefusedUnderASupportedName) {
  for (const char* name : {"qwen3_moe", "mixtral", "switchyard"}) {
    Json config = parse_json(GetParam().config, "config.json");
    config["model_type"] = name;
    EXPECT_TRUE(fails_input({"config.json"}, [&] { parse_model_config(config, "config.json"); })) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Released, UnsupportedFamily, ::testing::ValuesIn(kUnsupported),
                         [](const auto& each) { return std::string(each.param.family); });

}  // namespace
}  // namespace switchyard::test
