#include <gtest/gtest.h>

#include <set>
#include <type_traits>

#include "model/config/model_config.h"
#include "tests/model/config/sample_configs.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

Json qwen3() {
  return parse_json(
      R"({"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "vocab_size": 257, "hidden_size": 64,
    "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "num_experts": 128,
    "num_experts_per_tok": 4, "moe_intermediate_size": 32, "intermediate_size": 256, "norm_topk_prob": true,
    "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "rope_scaling": null, "hidden_act": "silu",
    "torch_dtype": "bfloat16", "tie_word_embeddings": false, "attention_bias": false, "sliding_window": null,
    "use_sliding_window": false, "decoder_sparse_step": 1, "mlp_only_layers": []})",
      "test");
}

ModelConfig parse(const Json& json) {
  return parse_model_config(json, "config.json");
}

void expect_refused(const Json& json, const std::string& named) {
  EXPECT_TRUE(test::fails_input({named}, [&] { parse(json); }));
}

TEST(Config, ReadsReleasedSpelling) {
  const ModelConfig c = parse(qwen3());
  EXPECT_EQ(c.num_experts(), 128);
  EXPECT_EQ(c.experts_per_token(), 4);
  EXPECT_TRUE(c.layers[3].attention.qk_norm == QkNorm::before_rotary && c.layers[3].moe()->router.renormalise);
  EXPECT_EQ(c.num_moe_layers(), 4);
  EXPECT_DOUBLE_EQ(c.layers[0].attention.rotary.theta, 10000);
}

TEST(Config, BothSpellingsMeanTheSame) {
  Json json = qwen3();
  for (const char* name : {"num_experts", "rope_theta", "rope_scaling", "torch_dtype"}) json.erase(name);
  json["num_local_experts"] = 128;
  json["rope_parameters"] = {{"rope_theta", 10000.0}, {"rope_type", "default"}};
  json["dtype"] = "bfloat16";
  EXPECT_EQ(config_hash(parse(json)), config_hash(parse(qwen3())));
}

TEST(Config, SpellingsThatDisagreeAreRefused) {
  Json json = qwen3();
  json["num_local_experts"] = 64;
  expect_refused(json, "num_local_experts");
  json = qwen3();
  json["rope_parameters"] = {{"rope_theta", 5.0}, {"rope_type", "default"}};
  expect_refused(json, "rope_theta");
}

TEST(Config, DenseLayersInBetween) {
  Json json = qwen3();
  json["decoder_sparse_step"] = 2;
  json["mlp_only_layers"] = {3};
  const ModelConfig c = parse(json);
  ASSERT_EQ(c.num_layers(), 4);
  EXPECT_EQ(c.num_moe_layers(), 1);
  EXPECT_EQ(c.first_moe_layer(), 1);
  EXPECT_EQ(c.moe().expert_size, 32);
  for (const size_t layer : {0, 2, 3}) EXPECT_EQ(c.layers[layer].dense()->size, 256) << layer;
}

struct Change {
  const char* field;
  Json value;
  const char* named;
};

class RefusedField : public ::testing::TestWithParam<Change> {};

TEST_P(RefusedField, IsNamed) {
  Json json = qwen3();
  json[GetParam().field] = GetParam().value;
  expect_refused(json, GetParam().named);
}

INSTANTIATE_TEST_SUITE_P(
    Config, RefusedField,
    ::testing::Values(
        Change{"rope_scaling", {{"rope_type", "dynamic"}, {"factor", 4.0}}, "rope_scaling.rope_type"},
        Change{"rope_scaling", {{"type", "longrope"}}, "rope_scaling.type"},
        Change{"rope_scaling", {{"type", "linear"}}, "rope_scaling.factor"},
        Change{"rope_scaling", {{"type", "linear"}, {"rope_type", "yarn"}}, "the same of both"},
        Change{"rope_scaling", {{"type", "yarn"}, {"factor", 0}}, "rope_scaling.factor"},
        Change{"rope_scaling", {{"type", "yarn"}, {"beta_fast", 1}, {"beta_slow", 2}}, "rope_scaling.beta_slow"},
        Change{"rope_scaling", {{"type", "yarn"}, {"truncate", 1}}, "rope_scaling.truncate"},
        Change{"rope_scaling",
               {{"type", "llama3"}, {"factor", 2}, {"low_freq_factor", 4}, {"high_freq_factor", 2}},
               "rope_scaling.high_freq_factor"},
        Change{"rope_parameters", {{"rope_theta", 10000.0}, {"partial_rotary_factor", 0.5}}, "partial_rotary_factor"},
        Change{"attention_bias", 1, "attention_bias"}, Change{"layer_types", {"full_attention", 7}, "layer_types"},
        Change{"use_sliding_window", 1, "use_sliding_window"}, Change{"hidden_act", "gelu", "hidden_act"},
        Change{"model_type", "qwen3_next", "qwen3_next"}, Change{"model_type", "deepseek_v4", "deepseek_v4"},
        Change{"model_type", 7, "model_type"}, Change{"layer_types", {"sliding_attention"}, "layer_types"},
        Change{"quantization_config", {{"bits", 4}}, "quantization_config"}, Change{"logit_scale", 0.5, "logit_scale"},
        Change{"hidden_size", 0, "hidden_size"}, Change{"hidden_size", -64, "hidden_size"},
        Change{"hidden_size", 9223372036854775807, "hidden_size"}, Change{"hidden_size", "64", "hidden_size"},
        Change{"hidden_size", 64.5, "hidden_size"}, Change{"head_dim", 15, "head_dim"},
        Change{"num_key_value_heads", 3, "num_key_value_heads"},
        Change{"num_experts_per_tok", 129, "num_experts_per_tok"}, Change{"rms_norm_eps", -1.0, "rms_norm_eps"},
        Change{"rope_theta", 0, "rope_theta"}, Change{"mlp_only_layers", {4}, "mlp_only_layers"},
        Change{"mlp_only_layers", {0, 1, 2, 3}, "no layer has experts"},
        Change{"decoder_sparse_step", 0, "decoder_sparse_step"}, Change{"norm_topk_prob", 1, "norm_topk_prob"}));

class RequiredField : public ::testing::TestWithParam<const char*> {};

TEST_P(RequiredField, IsNamed) {
  Json json = qwen3();
  json.erase(GetParam());
  expect_refused(json, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Config, RequiredField,
                         ::testing::Values("model_type", "vocab_size", "hidden_size", "num_hidden_layers",
                                           "num_attention_heads", "num_experts", "num_experts_per_tok",
                                           "moe_intermediate_size", "rms_norm_eps", "rope_theta",
                                           "max_position_embeddings"));

struct Harmless {
  const char* field;
  Json value;
};

class HarmlessField : public ::testing::TestWithParam<Harmless> {};

TEST_P(HarmlessField, ChangesNothing) {
  Json json = qwen3();
  json[GetParam().field] = GetParam().value;
  EXPECT_EQ(config_hash(parse(json)), config_hash(parse(qwen3()))) << GetParam().field;
}

INSTANTIATE_TEST_SUITE_P(
    Config, HarmlessField,
    ::testing::Values(
        Harmless{"sliding_window", 128}, Harmless{"max_window_layers", 28}, Harmless{"qkv_bias", false},
        Harmless{"use_qk_norm", true}, Harmless{"shared_expert_intermediate_size", 0}, Harmless{"unsloth_fixed", true},
        Harmless{"unsloth_version", "2025.7"}, Harmless{"transformers.js_config", {{"use_external_data_format", true}}},
        Harmless{"_attn_implementation", "sdpa"}, Harmless{"_commit_hash", "0"},
        Harmless{"pruned_heads", Json::object()}, Harmless{"torchscript", false},
        Harmless{"tie_encoder_decoder", false}, Harmless{"cross_attention_hidden_size", nullptr},
        Harmless{"temperature", 0.7}, Harmless{"top_p", 0.8}, Harmless{"top_k", 20}, Harmless{"max_length", 20},
        Harmless{"num_beams", 1}, Harmless{"repetition_penalty", 1.05}, Harmless{"suppress_tokens", nullptr},
        Harmless{"moe_layer_freq", 1}, Harmless{"n_group", 1}, Harmless{"partial_rotary_factor", 1},
        Harmless{"hidden_act", "swish"}, Harmless{"layer_types", {"full_attention", "full_attention"}},
        Harmless{"rope_scaling", {{"rope_type", "default"}}},
        Harmless{"rope_scaling", {{"type", "default"}, {"mrope_section", {24, 20, 20}}, {"rope_theta", 10000}}},
        Harmless{"quantization_config", nullptr}, Harmless{"quantization_config", Json::object()},
        Harmless{"quantization_config", {{"quant_method", nullptr}, {"load_in_4bit", false}}},
        Harmless{"_pre_quantization_dtype", "bfloat16"}));

class NoLongerHarmless : public ::testing::TestWithParam<Harmless> {};

TEST_P(NoLongerHarmless, AtAnotherValue) {
  Json json = qwen3();
  json[GetParam().field] = GetParam().value;
  expect_refused(json, GetParam().field);
}

INSTANTIATE_TEST_SUITE_P(Config, NoLongerHarmless,
                         ::testing::Values(Harmless{"qkv_bias", true}, Harmless{"use_qk_norm", false},
                                           Harmless{"shared_expert_intermediate_size", 32},
                                           Harmless{"pruned_heads", {{"0", {1}}}}, Harmless{"moe_layer_freq", 2},
                                           Harmless{"n_group", 8}, Harmless{"partial_rotary_factor", 0.5},
                                           Harmless{"add_cross_attention", true}, Harmless{"scoring_func", "sigmoid"},
                                           Harmless{"final_logit_softcapping", 0}, Harmless{"unsloth", true},
                                           Harmless{"rope_scaling", {{"rope_type", "default"}, {"factor", 4.0}}},
                                           Harmless{"rope_scaling", {{"rope_type", "default"}, {"rope_theta", 5.0}}},
                                           Harmless{"rope_scaling", "default"}));

Json mixtral() {
  Json json = qwen3();
  json["model_type"] = "mixtral";
  for (const char* name : {"moe_intermediate_size", "use_sliding_window", "decoder_sparse_step", "mlp_only_layers"})
    json.erase(name);
  return json;
}

TEST(Config, WhatIsHarmlessDependsOnTheFamily) {
  EXPECT_NO_THROW(parse(mixtral()));
  Json json = mixtral();
  json["use_qk_norm"] = true;
  expect_refused(json, "use_qk_norm");
  json = mixtral();
  json["norm_topk_prob"] = false;
  expect_refused(json, "norm_topk_prob");
}

TEST(Config, AWindowThatIsOnIsEveryLayers) {
  const auto span_of = [](const Json& json) { return parse(json).layers.back().attention.span; };
  const KeySpan window{KeySpan::Kind::window, 128};
  Json json = mixtral();
  json["sliding_window"] = 128;
  EXPECT_EQ(span_of(json), window);
  json["use_sliding_window"] = false;
  EXPECT_EQ(span_of(json), KeySpan{});
  json = mixtral();
  json["sliding_window"] = 2048;  // as long as any record
  EXPECT_EQ(span_of(json), KeySpan{});
  json["sliding_window"] = 0;
  expect_refused(json, "sliding_window");
  json = qwen3();
  json["sliding_window"] = 128;
  json["use_sliding_window"] = true;
  EXPECT_EQ(span_of(json), window);
}

TEST(Config, AllProblemsAreNamedAtOnce) {
  Json json = qwen3();
  json.erase("vocab_size");
  json["hidden_size"] = "64";
  json["attention_bias"] = "yes";
  json["num_experts_per_tok"] = 129;
  json["rope_scaling"] = {{"rope_type", "dynamic"}, {"beta_fast", 32}};
  json["logit_bias"] = 0.5;
  json["quantization_config"] = {{"quant_method", "fp8"}};
  EXPECT_TRUE(test::fails_input({"config.json: 7 problems: ", "\"vocab_size\" is missing", "\"hidden_size\"", "\"64\"",
                                 "\"attention_bias\"", "\"num_experts_per_tok\" 129", "\"rope_scaling.rope_type\"",
                                 "\"logit_bias\"", "says fp8", "(--allow-config-field logit_bias "},
                                [&] { parse(json); }));
}

std::string refusal(const Json& json) {
  try {
    parse(json);
  } catch (const Error& error) {
    return error.what();
  }
  return "no refusal";
}

TEST(Config, OneProblemDoesNotBringOthersAlong) {
  Json json = qwen3();
  json["num_attention_heads"] = 0;  // of which num_key_value_heads are no divisor, and head_dim no quotient
  json.erase("head_dim");
  EXPECT_EQ(refusal(json), "config.json: field \"num_attention_heads\": expected an integer in 1 … 65536, found 0");
}

TEST(Config, IgnoringIsOfferedOnlyWhereItMayBeRight) {
  Json json = qwen3();
  json["quantization_config"] = {{"quant_method", "fp8"}};
  EXPECT_EQ(refusal(json).find("--allow-config-field"), std::string::npos);
  json["attention_bias"] = 1;
  EXPECT_EQ(refusal(json).find("--allow-config-field"), std::string::npos);
  json["logit_bias"] = true;
  EXPECT_NE(refusal(json).find("--allow-config-field logit_bias "), std::string::npos);
}

TEST(Config, NobodyMayAllowQuantisedTensors) {
  for (const char* name : {"quantization_config", "compression_config", "quantization", "quant_method", "quantize"}) {
    Json json = qwen3();
    json[name] = {{"bits", 4}};
    EXPECT_TRUE(test::fails_input({name, "4 bits", "BF16"}, [&] { parse_model_config(json, "config.json", {name}); }));
  }
}

TEST(Config, AnUnknownFamilyIsNamedWithItsQuantisation) {
  Json json = qwen3();
  json["model_type"] = "gpt_oss_2";
  json["swiglu_limit"] = 7.0;
  json["quantization_config"] = {{"quant_method", "awq"}};
  EXPECT_TRUE(test::fails_input({"2 problems", "\"gpt_oss_2\" is not supported", "awq"}, [&] { parse(json); }));
  EXPECT_EQ(refusal(json).find("swiglu_limit"), std::string::npos);  // the family may well know it
}

/// Changes the n-th of a configuration's numbers, flags and texts; its path, or nothing where there are not so many.
std::string change_leaf(ModelConfig& config, int n) {
  std::string changed;
  visit_leaves(config, "", [&](const std::string& path, auto& leaf) {
    if (n-- != 0) return;
    changed = path;
    if constexpr (std::is_same_v<decltype(leaf), std::string&>)
      leaf += "x";
    else if constexpr (std::is_same_v<decltype(leaf), bool&>)
      leaf = !leaf;
    else if constexpr (std::is_enum_v<std::remove_cvref_t<decltype(leaf)>>)
      leaf = static_cast<std::remove_cvref_t<decltype(leaf)>>(static_cast<int>(leaf) + 1);
    else
      leaf += 1;
  });
  return changed;
}

TEST(Config, EveryFieldIsPartOfTheHash) {
  std::set<std::string> paths;
  for (const auto& [name, sound] : test::sample_configs()) {
    SCOPED_TRACE(name);
    std::set<Hash128> hashes = {config_hash(sound)};
    for (int n = 0;; ++n) {
      ModelConfig other = sound;
      const std::string path = change_leaf(other, n);
      if (path.empty()) break;
      paths.insert(path);
      EXPECT_NE(other, sound) << path;
      EXPECT_TRUE(hashes.insert(config_hash(other)).second) << path;
    }
    ModelConfig shorter = sound;
    shorter.layers.pop_back();
    EXPECT_TRUE(hashes.insert(config_hash(shorter)).second);
  }
  for (const char* path : {"family", "tied_embeddings", "layers.0.attention.rotary.theta",
                           "layers.0.attention.projections.1.kv_rank", "layers.0.attention.span.kind",
                           "layers.0.attention.rotary.scaling.2.mscale", "layers.0.feed_forward.0.activation.limit",
                           "layers.0.feed_forward.1.size", "layers.2.feed_forward.0.router.renormalise"})
    EXPECT_TRUE(paths.contains(path)) << path;
  const ModelConfig sound = test::sample_plain();
  ModelConfig other_kind = sound;
  other_kind.layers[1].feed_forward = other_kind.layers[0].feed_forward;
  EXPECT_NE(config_hash(other_kind), config_hash(sound));
}

TEST(Config, TheUserMayAllowAnUnknownField) {
  Json json = qwen3();
  json["logit_scale"] = 0.5;
  EXPECT_EQ(config_hash(parse_model_config(json, "config.json", {"logit_scale"})), config_hash(parse(qwen3())));
}

TEST(Config, SeedModelHasThePublishedNumbers) {
  const ModelConfig c = reference_config("seed-23B");
  EXPECT_NEAR(static_cast<double>(c.total_parameters()), 23.056e9, 0.5e6);
  EXPECT_NEAR(static_cast<double>(c.active_parameters()), 1.107e9, 0.5e6);
  EXPECT_NEAR(2e-9 * static_cast<double>(c.total_parameters()), 46.11, 0.005);
  EXPECT_EQ(c.kv_bytes_per_token(2), 114'688);
}

TEST(Config, ReferenceShapesHaveThePublishedNumbersOfParameters) {
  const ModelConfig qwen = reference_config("qwen3-30b-a3b");
  EXPECT_NEAR(static_cast<double>(qwen.total_parameters()), 30.53e9, 0.01e9);
  EXPECT_NEAR(static_cast<double>(qwen.active_parameters()), 3.04e9, 0.01e9);  // without the embedding table
  const ModelConfig gpt_oss = reference_config("gpt-oss-120b");
  EXPECT_NEAR(static_cast<double>(gpt_oss.total_parameters()), 116.83e9, 0.005e9);
  EXPECT_NEAR(static_cast<double>(gpt_oss.active_parameters()), 5.13e9, 0.01e9);
}

TEST(Config, AnUnknownReferenceIsRefusedNamingThoseKnown) {
  EXPECT_TRUE(test::fails(ExitCode::usage, {"\"seed-24B\"", "seed-23B, qwen3-30b-a3b, gpt-oss-120b"},
                          [] { reference_config("seed-24B"); }));
}

TEST(Config, HugeModelsAreRefusedBeforeTheirSizesOverflow) {
  Json json = qwen3();
  json["hidden_size"] = 1 << 20;
  json["num_experts"] = 1 << 16;
  json["moe_intermediate_size"] = 1 << 20;
  expect_refused(json, "parameters");
}

TEST(InitializerRange, IsTheTextPartsOwn) {
  const test::TemporaryDirectory directory;
  const auto range = [&](const std::string& config) {
    return read_initializer_range(directory.write("config.json", config));
  };
  EXPECT_EQ(range(R"({"initializer_range": 0.006})"), 0.006);
  EXPECT_EQ(range(R"({"text_config": {"initializer_range": 0.5}, "initializer_range": 1})"), 0.5);
  EXPECT_EQ(range("{}"), 0.02);
  for (const char* wrong : {"0", "-0.02", "\"0.02\"", "[]"})
    EXPECT_TRUE(test::fails_input({"config.json", "initializer_range", "a positive number"},
                                  [&] { range(fmt::format(R"({{"initializer_range": {}}})", wrong)); }));
}

}  // namespace
}  // namespace switchyard
