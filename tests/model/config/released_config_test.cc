// The config.json of released models, as published: those whose mathematics is here are read, the others refused for
// what they are.
#include <gtest/gtest.h>

#include <ostream>

#include "model/config/model_config.h"
#include "tests/support/expect_error.h"
#include "tests/support/fixture_models.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

std::filesystem::path released(std::string_view name) {
  return std::filesystem::path(SWITCHYARD_TEST_DATA) / "configs" / fmt::format("{}.json", name);
}

struct Released {
  const char* name;
  int64_t total_parameters;  ///< from the sizes, counted apart from this program
  int64_t layers, moe_layers;
};
std::ostream& operator<<(std::ostream& out, const Released& r) {
  return out << r.name;
}

class ReleasedConfig : public ::testing::TestWithParam<Released> {};

TEST_P(ReleasedConfig, IsRead) {
  const ModelConfig c = read_model_config(released(GetParam().name));
  EXPECT_EQ(c.total_parameters(), GetParam().total_parameters);
  EXPECT_EQ(c.num_layers(), GetParam().layers);
  EXPECT_EQ(c.num_moe_layers(), GetParam().moe_layers);
  EXPECT_FALSE(c.tied_embeddings);
}

// Published as 30.5, 235, 46.7, 117, 106, 671, 1000, 400 and 109 B.
INSTANTIATE_TEST_SUITE_P(Files, ReleasedConfig,
                         ::testing::Values(Released{"Qwen3-30B-A3B", 30'532'122'624, 48, 48},
                                           Released{"Qwen3-30B-A3B-FP8", 30'532'122'624, 48, 48},
                                           Released{"Qwen3-Coder-30B-A3B-Instruct", 30'532'122'624, 48, 48},
                                           Released{"Qwen3-VL-30B-A3B-Instruct", 30'532'122'624, 48, 48},
                                           Released{"Qwen3-235B-A22B-Instruct-2507", 235'093'634'560, 94, 94},
                                           Released{"Mixtral-8x7B-v0.1", 46'702'792'704, 32, 32},
                                           Released{"gpt-oss-120b", 116'829'156'672, 36, 36},
                                           Released{"GLM-4.5-Air", 106'852'251'264, 46, 45},
                                           Released{"DeepSeek-V3", 671'026'419'200, 61, 58},
                                           Released{"Kimi-K2-Instruct-rtp", 1'026'408'232'448, 61, 60},
                                           Released{"Llama-4-Maverick-17B-128E-Instruct", 400'711'848'960, 48, 24},
                                           Released{"Llama-4-Scout-17B-16E", 107'769'861'120, 48, 48}));

TEST(ReleasedConfig, OfGptOss) {
  ModelConfig c = read_model_config(released("gpt-oss-120b"));
  EXPECT_EQ(*c.quantised(), (QuantisedWeights{"mxfp4", 1, 32}));
  c.storage = {};
  EXPECT_EQ(c, reference_config("gpt-oss-120b"));
}

TEST(ReleasedConfig, OfDeepSeek) {
  const ModelConfig c = read_model_config(released("DeepSeek-V3"));
  EXPECT_EQ(c.prediction_layers, 1);
  EXPECT_EQ(c.kv_bytes_per_token(2), 61 * 576 * 2);
  const AttentionConfig& a = c.layers[0].attention;
  EXPECT_EQ(a.latent()->query_rank, 1536);
  EXPECT_EQ(a.head_dim, 192);
  EXPECT_EQ(a.value_dim, 128);
  EXPECT_EQ(a.rotary.first, 128);
  EXPECT_EQ(a.rotary.pairs, RotaryPairs::adjacent);
  EXPECT_NEAR(a.scale, 0.1352337788608801, 1e-15);  // (0.1 ln 40 + 1)² / √192
  EXPECT_EQ(rotary_stretch(a.rotary), 1);           // mscale and mscale_all_dim are the same
  const RouterConfig expected{.num_experts = 256,
                              .experts_per_token = 8,
                              .selection_bias = true,
                              .scores = RouterScores::sigmoid,
                              .renormalise = true,
                              .scale = 2.5,
                              .num_groups = 8,
                              .kept_groups = 4};
  EXPECT_EQ(c.moe().router, expected);
}

TEST(ReleasedConfig, OfLlama4) {
  const ModelConfig c = read_model_config(released("Llama-4-Scout-17B-16E"));
  for (size_t i = 0; i < c.layers.size(); ++i) {
    const AttentionConfig& a = c.layers[i].attention;
    const bool turned = i % 4 != 3;
    EXPECT_EQ(a.rotary.dim, turned ? 128 : 0) << i;
    EXPECT_EQ(a.qk_norm, turned ? QkNorm::after_rotary : QkNorm::none) << i;
    EXPECT_EQ(a.span, (turned ? KeySpan{KeySpan::Kind::chunk, 8192} : KeySpan{})) << i;
    EXPECT_EQ(a.temperature, (turned ? QueryTemperature{} : QueryTemperature{0.1, 8192})) << i;
  }
  EXPECT_EQ(c.layers[0].attention.rotary.scaling, (decltype(RotaryConfig::scaling){Llama3Scaling{8, 8192, 1, 4}}));
  EXPECT_TRUE(c.moe().scaled_input);
}

struct Refused {
  const char *name, *says;
};
class RefusedConfig : public ::testing::TestWithParam<Refused> {};

TEST_P(RefusedConfig, IsRefusedForWhatItIs) {
  const auto& [name, says] = GetParam();
  EXPECT_TRUE(fails_input({name, says}, [&name = name] { read_model_config(released(name)); }));
}

INSTANTIATE_TEST_SUITE_P(Files, RefusedConfig,
                         ::testing::Values(Refused{"Kimi-K2.5", "model family \"kimi_k25\" is not supported"},
                                           Refused{"Qwen3-Next-80B-A3B-Thinking", "\"qwen3_next\" is not supported"}),
                         [](const auto& each) { return test_name(each.param.name); });

TEST(QuantisedConfig, IsReadInKnownFormats) {
  ModelConfig c = read_model_config(released("Qwen3-30B-A3B-FP8"));
  ASSERT_NE(c.quantised(), nullptr);
  EXPECT_EQ(*c.quantised(), (QuantisedWeights{"fp8", 128, 128}));
  const ModelConfig plain = read_model_config(released("Qwen3-30B-A3B"));
  EXPECT_EQ(plain.quantised(), nullptr);
  EXPECT_NE(config_hash(c), config_hash(plain));
  c.storage = {};
  EXPECT_EQ(c, plain);  // the same model but for that
}

/// The released FP8 configuration with another quantization_config.
std::string refusal_of(const Json& quantization) {
  Json json = parse_json(bytes_of_file(released("Qwen3-30B-A3B-FP8")), "test");
  json["quantization_config"] = quantization;
  try {
    parse_model_config(json, "config.json", {"quantization_config"});
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::input);
    return error.what();
  }
  return "";
}

TEST(QuantisedConfig, Fp8MayBeDescribedAsReleasedModelsDo) {
  const Json fp8 = {{"quant_method", "fp8"}, {"weight_block_size", {128, 64}}};
  EXPECT_EQ(refusal_of(fp8), "");
  const std::pair<const char*, Json> harmless[] = {{"fmt", "e4m3"},
                                                   {"fmt", "float8_e4m3fn"},
                                                   {"activation_scheme", "dynamic"},
                                                   {"scale_fmt", "ue8m0"},
                                                   {"modules_to_not_convert", {"lm_head"}},
                                                   {"modules_to_not_convert", nullptr},
                                                   {"ignored_layers", Json::array()},
                                                   {"dequantize", false}};
  for (const auto& [field, value] : harmless) {
    Json described = fp8;
    described[field] = value;
    EXPECT_EQ(refusal_of(described), "") << field;
  }
}

TEST(QuantisedConfig, Fp8OfAnotherKindIsRefused) {
  struct Case {
    const char* field;
    Json value;
    const char* says;
  };
  const Case cases[] = {{"weight_block_size", nullptr, "a scale for a whole tensor"},
                        {"weight_block_size", {128}, "two positive integers, found \"[128]\""},
                        {"weight_block_size", {128, 0}, "two positive integers, found \"[128,0]\""},
                        {"weight_block_size", {-1, 128}, "two positive integers"},
                        {"weight_block_size", {128, 128, 1}, "two positive integers"},
                        {"weight_block_size", {128, 1.5}, "two positive integers"},
                        {"weight_block_size", {128, 1ull << 40}, "two positive integers"},
                        {"weight_block_size", 128, "two positive integers, found \"128\""},
                        {"fmt", "e5m2", "\"fmt\" \"e5m2\""},
                        {"activation_scheme", "static", "\"activation_scheme\" \"static\""},
                        {"moe_quant_algo", "NVFP4", "\"moe_quant_algo\" \"NVFP4\""},
                        {"modules_to_not_convert", "lm_head", "\"modules_to_not_convert\""},
                        {"group_size", 16, "\"group_size\" 16"}};
  for (const Case& c : cases) {
    Json described = {{"quant_method", "fp8"}, {"weight_block_size", {128, 128}}};
    described[c.field] = c.value;
    const std::string said = refusal_of(described);
    EXPECT_NE(said.find("\"quantization_config\" says fp8"), said.npos) << c.field << ": " << said;
    EXPECT_NE(said.find(c.says), said.npos) << c.field << ": " << said;
    EXPECT_NE(said.find("BF16"), said.npos) << said;
  }
}

TEST(QuantisedConfig, Mxfp4IsReadWithNothingElse) {
  Json mxfp4 = {{"quant_method", "mxfp4"}, {"modules_to_not_convert", {"lm_head"}}};
  EXPECT_EQ(refusal_of(mxfp4), "");
  mxfp4["modules_to_not_convert"] = "lm_head";
  EXPECT_NE(refusal_of(mxfp4).find("says mxfp4: \"modules_to_not_convert\""), std::string::npos) << refusal_of(mxfp4);
  mxfp4["modules_to_not_convert"] = nullptr;
  mxfp4["group_size"] = 16;
  EXPECT_NE(refusal_of(mxfp4).find("says mxfp4: \"group_size\" 16"), std::string::npos) << refusal_of(mxfp4);
}

TEST(QuantisedConfig, OtherMethodsAreRefusedByName) {
  for (const char* method : {"awq", "gptq", "compressed-tensors", "bitsandbytes", "modelopt", "FP8", "fp4"}) {
    const std::string said = refusal_of({{"quant_method", method}, {"weight_block_size", {128, 128}}});
    EXPECT_NE(said.find(fmt::format("\"quantization_config\" says {})", method)), said.npos) << said;
  }
}

TEST(QuantisedConfig, IsRefusedByItsMethodAndCannotBeAllowed) {
  const std::set<std::string> allowed = {"quantization_config", "compression_config"};
  EXPECT_TRUE(fails_input({"Qwen3-30B-A3B-GPTQ-Int4.json", "\"quantization_config\" says gptq, 4 bits", "BF16"},
                          [&] { read_model_config(released("Qwen3-30B-A3B-GPTQ-Int4"), allowed); }));
  EXPECT_TRUE(fails_input(
      {"\"quantization_config\" says compressed-tensors", "\"compression_config\" says pack_quantized", "BF16"},
      [&] { read_model_config(released("Qwen3-Coder-480B-A35B-Instruct-W8A8"), allowed); }));
}

/// A Qwen3 whose config.json is as for BF16, beside a file that a tool wrote.
class QuantisedBeside : public ::testing::Test {
 protected:
  void SetUp() override { directory_.write("config.json", bytes_of_file(released("Qwen3-30B-A3B"))); }
  void read() const { read_model_config(directory_.path(), {"hf_quant_config.json"}); }
  TemporaryDirectory directory_;
};

TEST_F(QuantisedBeside, IsRefusedNamingTheFileAndWhatItSays) {
  struct Case {
    const char *file, *content, *says;
  };
  const Case cases[] = {
      {"hf_quant_config.json", R"({"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4",
        "kv_cache_quant_algo": "FP8", "group_size": 16, "exclude_modules": ["lm_head"]}})",
       "says NVFP4"},
      {"quantize_config.json", R"({"bits": 4, "group_size": 128, "desc_act": false, "quant_method": "gptq"})",
       "says gptq, 4 bits"},
      {"quant_config.json", R"({"zero_point": true, "q_group_size": 128, "w_bit": 4, "version": "GEMM"})",
       "says 4 bits"},
      {"quant_model_description.json", R"({"model_quant_type": "W8A8", "lm_head.weight": "FLOAT"})", "says W8A8"}};
  for (const Case& c : cases) {
    const auto path = directory_.write(c.file, c.content);
    EXPECT_TRUE(fails_input({"config.json", c.file, c.says, "BF16"}, [&] { read(); }));
    std::filesystem::remove(path);
  }
}

TEST_F(QuantisedBeside, IsRefusedThoughConfigJsonNamesAKnownFormat) {
  directory_.write("config.json", bytes_of_file(released("Qwen3-30B-A3B-FP8")));
  EXPECT_NO_THROW(read());
  directory_.write("hf_quant_config.json", R"({"quantization": {"quant_algo": "NVFP4"}})");
  EXPECT_TRUE(fails_input({"hf_quant_config.json says NVFP4"}, [&] { read(); }));
}

TEST_F(QuantisedBeside, IsReadWhereTheFileSaysThatNothingIs) {
  directory_.write("hf_quant_config.json", R"({"quantization": {"quant_algo": null, "kv_cache_quant_algo": "FP8"}})");
  EXPECT_NO_THROW(read());
  directory_.write("quantize_config.json", R"({"bits": null, "quant_method": "none"})");
  EXPECT_NO_THROW(read());
}

TEST_F(QuantisedBeside, IsRefusedWhereTheFileCannotBeRead) {
  directory_.write("hf_quant_config.json", "{");
  EXPECT_TRUE(fails_input({"hf_quant_config.json"}, [&] { read(); }));
}

}  // namespace
}  // namespace switchyard::test
