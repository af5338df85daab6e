// What each family reads of config.json: values of fields that are absent, switches, and what is refused by name.
#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

#include "model/config/model_config.h"
#include "tests/support/expect_error.h"

namespace switchyard::test {
namespace {

Json json_of(std::string_view text) {
  return parse_json(text, "test");
}

Json gpt_oss() {
  return json_of(R"({"model_type": "gpt_oss", "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 6, "num_experts_per_tok": 2,
    "intermediate_size": 32, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 150000.0})");
}

/// Of the families whose experts are DeepSeek-V3's, without what they have values for.
Json sigmoid(const char* model_type) {
  Json json = json_of(R"({"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 5, "num_attention_heads": 4,
    "n_routed_experts": 32, "num_experts_per_tok": 3, "moe_intermediate_size": 12, "intermediate_size": 40,
    "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 10000.0})");
  json["model_type"] = model_type;
  return json;
}

Json deepseek() {
  Json json = sigmoid("deepseek_v3");
  json.update(json_of(R"({"q_lora_rank": null, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4,
    "v_head_dim": 6})"));
  return json;
}

Json llama4() {
  return json_of(R"({"model_type": "llama4_text", "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 5,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 6, "num_experts_per_tok": 1,
    "intermediate_size": 12, "intermediate_size_mlp": 40, "max_position_embeddings": 65536, "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0, "head_dim": 8})");
}

Json with(Json json, const char* field, const Json& value) {
  json[field] = value;
  return json;
}

ModelConfig read(const Json& json) {
  return parse_model_config(json, "config.json");
}

const AttentionConfig& attention(const ModelConfig& c, size_t layer) {
  return c.layers[layer].attention;
}

TEST(GptOss, AbsentFieldsHaveTheirValues) {
  const ModelConfig c = read(gpt_oss());
  const KeySpan window{KeySpan::Kind::window, 128};
  EXPECT_EQ(attention(c, 0).span, window);
  EXPECT_EQ(attention(c, 1).span, KeySpan{});
  EXPECT_EQ(attention(c, 2).span, window);
  EXPECT_TRUE(attention(c, 0).input_bias && attention(c, 0).output_bias && attention(c, 0).sinks);
  EXPECT_EQ(c.moe().activation, (GatedActivation{true, 1.702, 7}));
  EXPECT_TRUE(c.moe().biases && c.moe().router.bias && c.moe().router.renormalise);
}

TEST(GptOss, LayerTypesSayWhichLayersSlide) {
  Json json = with(gpt_oss(), "layer_types", {"full_attention", "sliding_attention", "sliding_attention"});
  json["sliding_window"] = 7;
  const ModelConfig c = read(json);
  EXPECT_EQ(attention(c, 0).span, KeySpan{});
  for (const size_t layer : {1, 2}) EXPECT_EQ(attention(c, layer).span, (KeySpan{KeySpan::Kind::window, 7})) << layer;
}

TEST(GptOss, TheActivationsLimitIsRead) {
  EXPECT_EQ(read(with(gpt_oss(), "swiglu_limit", 2.5)).moe().activation.limit, 2.5);
}

TEST(SigmoidFamilies, AbsentFieldsHaveTheirValues) {
  const ModelConfig deepseek_v3 = read(deepseek());
  EXPECT_EQ(deepseek_v3.num_moe_layers(), 2);
  EXPECT_EQ(deepseek_v3.moe().shared_size, 12);
  const RouterConfig& router = deepseek_v3.moe().router;
  EXPECT_EQ(std::tuple(router.num_groups, router.kept_groups, router.renormalise, router.scale),
            std::tuple(8, 4, true, 2.5));
  EXPECT_EQ(attention(deepseek_v3, 0).rotary.pairs, RotaryPairs::adjacent);

  const ModelConfig glm = read(sigmoid("glm4_moe"));
  EXPECT_EQ(glm.num_moe_layers(), 4);
  EXPECT_EQ(glm.moe().shared_size, 12);
  EXPECT_EQ(std::tuple(glm.moe().router.num_groups, glm.moe().router.renormalise, glm.moe().router.scale),
            std::tuple(1, true, 1));
  EXPECT_EQ(attention(glm, 0).rotary.dim, 4);  // half of 8
  EXPECT_EQ(attention(glm, 0).qk_norm, QkNorm::none);

  const ModelConfig dots = read(sigmoid("dots1"));
  EXPECT_EQ(dots.num_moe_layers(), 5);
  EXPECT_EQ(dots.moe().shared_size, 0);
  EXPECT_FALSE(dots.moe().router.renormalise);
  EXPECT_EQ(attention(dots, 4).span, KeySpan{});
  EXPECT_EQ(attention(dots, 0).qk_norm, QkNorm::before_rotary);
}

TEST(SigmoidFamilies, BiasesAreThoseOfTheFamily) {
  for (const auto& [json, output] : {std::pair(sigmoid("glm4_moe"), false), std::pair(sigmoid("dots1"), true)}) {
    const ModelConfig c = read(with(json, "attention_bias", true));
    EXPECT_TRUE(attention(c, 0).input_bias);
    EXPECT_EQ(attention(c, 0).output_bias, output) << c.family;
  }
}

TEST(Glm4Moe, TheTurnedPartOfAHeadMayStandInEitherPlace) {
  Json top = with(sigmoid("glm4_moe"), "partial_rotary_factor", 0.75);
  EXPECT_EQ(attention(read(top), 0).rotary.dim, 6);
  Json inside = sigmoid("glm4_moe");
  inside["rope_parameters"] = {{"rope_theta", 10000.0}, {"partial_rotary_factor", 0.75}};
  EXPECT_EQ(attention(read(inside), 0).rotary.dim, 6);
}

TEST(Dots1, LayersSlideFromMaxWindowLayersOn) {
  Json json = with(sigmoid("dots1"), "max_window_layers", 3);
  EXPECT_EQ(attention(read(json), 2).span, KeySpan{});
  EXPECT_EQ(attention(read(json), 3).span, (KeySpan{KeySpan::Kind::window, 4096}));
  EXPECT_EQ(attention(read(with(json, "sliding_window", 40)), 4).span, (KeySpan{KeySpan::Kind::window, 40}));
}

TEST(DeepSeek, MscaleSharpensScores) {
  const double plain = attention(read(deepseek()), 0).scale;
  EXPECT_DOUBLE_EQ(plain, 1 / std::sqrt(12.0));
  Json json = deepseek();
  json["rope_scaling"] = {{"type", "yarn"}, {"factor", 40}, {"original_max_position_embeddings", 64}};
  EXPECT_DOUBLE_EQ(attention(read(json), 0).scale, plain);
  EXPECT_DOUBLE_EQ(rotary_stretch(attention(read(json), 0).rotary), 1.3688879454113936);  // 0.1 ln 40 + 1
  json["rope_scaling"]["mscale_all_dim"] = 0.5;
  EXPECT_NEAR(attention(read(json), 0).scale / plain, 1.1844439727056968 * 1.1844439727056968, 1e-12);
  EXPECT_DOUBLE_EQ(rotary_stretch(attention(read(json), 0).rotary), 1.3688879454113936);
  json["rope_scaling"]["mscale"] = 1;
  EXPECT_NEAR(rotary_stretch(attention(read(json), 0).rotary), 1.3688879454113936 / 1.1844439727056968, 1e-12);
}

TEST(DeepSeek, KimiIsTheSame) {
  Json json = deepseek();
  json["model_type"] = "kimi_k2";
  ModelConfig c = read(json);
  EXPECT_EQ(c.family, "kimi_k2");
  c.family = "deepseek_v3";
  EXPECT_EQ(c, read(deepseek()));
}

TEST(Llama4, AbsentFieldsHaveTheirValues) {
  const ModelConfig c = read(llama4());
  EXPECT_EQ(c.num_moe_layers(), 5);
  for (size_t i = 0; i < 5; ++i) {
    const bool turned = i != 3;
    EXPECT_EQ(attention(c, i).rotary.dim, turned ? 8 : 0) << i;
    EXPECT_EQ(attention(c, i).span, (turned ? KeySpan{KeySpan::Kind::chunk, 8192} : KeySpan{})) << i;
    EXPECT_EQ(attention(c, i).temperature, (turned ? QueryTemperature{} : QueryTemperature{0.1, 8192})) << i;
    EXPECT_EQ(attention(c, i).qk_norm, turned ? QkNorm::after_rotary : QkNorm::none) << i;
  }
  EXPECT_EQ(c.moe().shared_size, 12);
}

TEST(Llama4, LayersAreOfTheKindsSaid) {
  Json json = with(llama4(), "interleave_moe_layer_step", 2);
  EXPECT_EQ(read(json).num_moe_layers(), 2);
  EXPECT_EQ(read(json).first_moe_layer(), 1);
  json["moe_layers"] = {0, 4};
  EXPECT_EQ(read(json).first_moe_layer(), 0);
  json["no_rope_layers"] = {0, 1, 1, 1, 0};
  const ModelConfig c = read(json);
  EXPECT_EQ(attention(c, 0).rotary.dim, 0);
  EXPECT_EQ(attention(c, 3).rotary.dim, 8);
  EXPECT_EQ(attention(c, 3).span.kind, KeySpan::Kind::chunk);
}

TEST(Families, NullMayMeanOtherThanAbsence) {
  Json json = with(sigmoid("dots1"), "max_window_layers", 0);
  EXPECT_EQ(attention(read(json), 0).span, (KeySpan{KeySpan::Kind::window, 4096}));
  EXPECT_EQ(attention(read(with(json, "sliding_window", nullptr)), 0).span, KeySpan{});
  json = deepseek();
  EXPECT_EQ(attention(read(json), 0).latent()->query_rank, 0);
  json.erase("q_lora_rank");
  EXPECT_EQ(attention(read(json), 0).latent()->query_rank, 1536);
  json = gpt_oss();
  json.erase("head_dim");
  EXPECT_EQ(attention(read(json), 0).head_dim, 64);
  EXPECT_EQ(attention(read(with(json, "head_dim", nullptr)), 0).head_dim, 8);
}

TEST(Llama4, TemperatureMayBeANumber) {
  const auto tuned = [](const Json& value) {
    return attention(read(with(llama4(), "attn_temperature_tuning", value)), 3).temperature.scale != 0;
  };
  EXPECT_TRUE(tuned(4) && tuned(true) && tuned(nullptr));
  EXPECT_FALSE(tuned(0) || tuned(false));
}

TEST(Nested, TheTextPartIsRead) {
  const Json nested = {{"model_type", "llama4"},
                       {"text_config", llama4()},
                       {"vision_config", {{"hidden_size", 7}}},
                       {"image_token_index", 99}};
  ModelConfig c = read(nested);
  EXPECT_EQ(c.family, "llama4");
  c.family = "llama4_text";
  EXPECT_EQ(c, read(llama4()));
  EXPECT_TRUE(read(with(nested, "tie_word_embeddings", true)).tied_embeddings);
  Json quantised = nested;
  quantised["text_config"]["quantization_config"] = {{"quant_method", "compressed-tensors"}};
  EXPECT_TRUE(fails_input({"text_config.quantization_config", "compressed-tensors"}, [&] { read(quantised); }));
}

struct Wrong {
  Json (*config)();
  const char* field;
  Json value;
  std::string_view named, also = "";
};

TEST(Families, WhatIsWrongIsNamed) {
  const auto glm = [] { return sigmoid("glm4_moe"); };
  const auto dots = [] { return sigmoid("dots1"); };
  const auto nested = [] { return Json{{"model_type", "llama4"}, {"text_config", llama4()}}; };
  const Wrong cases[] = {
      {gpt_oss, "sliding_window", 0, "\"sliding_window\"", "found 0"},
      {gpt_oss, "layer_types", {"full_attention", "chunked_attention", "full_attention"}, "layer_types", "chunked"},
      {gpt_oss, "layer_types", {"full_attention"}, "layer_types", "a type for each layer"},
      {gpt_oss, "swiglu_limit", 0, "swiglu_limit"},
      {gpt_oss, "swiglu_limit", "7", "swiglu_limit"},
      {gpt_oss, "experts_per_token", 3, "experts_per_token", "num_experts_per_tok"},
      {gpt_oss, "hidden_act", "gelu", "hidden_act"},
      {deepseek, "n_group", 3, "\"n_routed_experts\" 32, \"n_group\" 3", "multiple"},
      {deepseek, "topk_group", 9, "topk_group", "no more groups"},
      {deepseek, "num_experts_per_tok", 17, "num_experts_per_tok", "in the groups kept"},
      {deepseek, "scoring_func", "softmax", "scoring_func"},
      {deepseek, "topk_method", "greedy", "topk_method"},
      {deepseek, "q_lora_rank", 0, "q_lora_rank"},
      {deepseek, "num_key_value_heads", 2, "num_key_value_heads"},
      {deepseek, "qk_rope_head_dim", 5, "qk_rope_head_dim"},
      {deepseek, "head_dim", 5, "head_dim"},
      {deepseek, "moe_layer_freq", 2, "moe_layer_freq"},
      {deepseek, "first_k_dense_replace", 5, "no layer has experts"},
      {glm, "partial_rotary_factor", 1.5, "partial_rotary_factor"},
      {glm, "partial_rotary_factor", 0.1, "partial_rotary_factor"},
      {glm, "routed_scaling_factor", -1, "routed_scaling_factor"},
      {dots, "sliding_window", -1, "sliding_window"},
      {gpt_oss, "sliding_window", nullptr, "\"sliding_window\"", "a window"},
      {llama4, "attention_chunk_size", nullptr, "\"attention_chunk_size\"", "a size"},
      {llama4, "attention_chunk_size", 0, "attention_chunk_size"},
      {llama4, "num_experts_per_tok", 2, "num_experts_per_tok"},
      {llama4, "no_rope_layers", {1, 0}, "no_rope_layers"},
      {llama4, "moe_layers", {5}, "moe_layers"},
      {llama4, "floor_scale", 0, "floor_scale"},
      {llama4, "attn_temperature_tuning", "on", "attn_temperature_tuning"},
      {gpt_oss, "layer_types", Json::array(), "layer_types", "a type for each layer"},
      {gpt_oss, "rope_scaling", {{"type", "yarn"}}, "\"rope_scaling.factor\" is missing"},
      {gpt_oss,
       "rope_scaling",
       {{"type", "llama3"}, {"low_freq_factor", 1}, {"high_freq_factor", 4}},
       "rope_scaling.factor"},
      {gpt_oss, "rope_scaling", {{"type", "yarn"}, {"factor", 2}, {"rope_theta", 1}}, "rope_theta"},
      {glm, "rope_parameters", {{"partial_rotary_factor", 0}}, "rope_parameters.partial_rotary_factor"},
      {llama4, "moe_layers", Json::array(), "no layer has experts"},
      {nested, "text_config", nullptr, "\"text_config\" is missing"},
      {nested, "text_config", 3, "\"text_config\": expected an object"},
      {nested, "text_config", with(llama4(), "hidden_size", 0), "\"text_config.hidden_size\""},
      {nested, "text_config", with(llama4(), "logit_scale", 2), "\"text_config.logit_scale\""},
      {nested, "text_config", with(llama4(), "model_type", "llama"), "\"text_config.model_type\""},
      {nested, "audio_config", Json::object(), "\"audio_config\""},
  };
  for (const Wrong& wrong : cases) {
    SCOPED_TRACE(fmt::format("{} = {}", wrong.field, wrong.value.dump()));
    const Json json = with(wrong.config(), wrong.field, wrong.value);
    EXPECT_TRUE(fails_input({wrong.named, wrong.also}, [&] { read(json); }));
  }
}

}  // namespace
}  // namespace switchyard::test
