#include "model/export/base_files.h"

#include <gtest/gtest.h>

#include "model/config/model_config.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

class BaseFiles : public ::testing::Test {
 protected:
  Json exported(const std::string& config, DType dtype) const {
    directory_.write("config.json", config);
    return parse_json(exported_config(directory_.path(), dtype), "exported");
  }
  const TemporaryDirectory directory_;
};

TEST_F(BaseFiles, FieldsAreKeptAndTheDTypeIsSet) {
  EXPECT_EQ(exported(R"({"b": 1e-06, "dtype": "float16", "a": null})", DType::bf16).dump(),
            R"({"b":1e-06,"dtype":"bfloat16","a":null})");
  EXPECT_EQ(exported(R"({"torch_dtype": null, "dtype": "float16"})", DType::f32).dump(),
            R"({"torch_dtype":"float32","dtype":"float32"})");
  EXPECT_EQ(exported(R"({"a": 1})", DType::bf16).dump(), R"({"a":1,"torch_dtype":"bfloat16"})");
}

TEST_F(BaseFiles, WeightsAreNoLongerQuantised) {
  EXPECT_EQ(exported(R"({"quantization_config": {"quant_method": "fp8"}, "dtype": "bfloat16"})", DType::f32).dump(),
            R"({"dtype":"float32"})");
}

TEST_F(BaseFiles, TheModelOfTextIsToldToo) {
  EXPECT_EQ(
      exported(R"({"text_config": {"dtype": "bfloat16", "quantization_config": {}, "x": 1},
                         "vision_config": {"dtype": "bfloat16"}})",
               DType::f32)
          .dump(),
      R"({"text_config":{"dtype":"float32","x":1},"vision_config":{"dtype":"bfloat16"},"torch_dtype":"float32"})");
  EXPECT_EQ(exported(R"({"text_config": {"x": 1}, "dtype": "float16"})", DType::f32).dump(),
            R"({"text_config":{"x":1},"dtype":"float32"})");
}

TEST_F(BaseFiles, WithoutADTypeTheConfigurationStaysAsItIs) {
  const std::string text = "{\"b\":   1.0,\n\"a\" :2}";
  const auto file = directory_.write("config.json", text);
  EXPECT_EQ(exported_config(directory_.path(), {}), text);
  EXPECT_EQ(exported_config(file, {}), text);
  EXPECT_TRUE(fails_input({"other.json"}, [&] { exported_config(directory_ / "other.json", {}); }));
}

TEST_F(BaseFiles, TheTextPartNamesTheDType) {
  const auto named = [&](const std::string& config) { return named_dtype(directory_.write("config.json", config)); };
  EXPECT_EQ(named(R"({"torch_dtype": "bfloat16"})"), DType::bf16);
  EXPECT_EQ(named(R"({"dtype": "float16"})"), DType::f16);
  EXPECT_EQ(named(R"({"text_config": {"dtype": "bfloat16"}, "dtype": "float32"})"), DType::bf16);
  EXPECT_EQ(named(R"({"text_config": {}, "dtype": "bfloat16"})"), DType::bf16);
  EXPECT_EQ(named(R"({"dtype": "auto"})"), DType::f32);
  EXPECT_EQ(named(R"({"dtype": 16})"), DType::f32);
  EXPECT_EQ(named("{}"), DType::f32);
}

TEST_F(BaseFiles, WhatBelongsToAModelIsCopied) {
  const std::vector<std::string> companions = {
      "added_tokens.json", "chat_template.jinja", "generation_config.json",  "merges.txt",
      "modeling_kimi.py",  "qwen.tiktoken",       "special_tokens_map.json", "tiktoken.model",
      "tokenizer.json",    "tokenizer.model",     "tokenizer_config.json",   "vocab.json"};
  for (const std::string& name : companions) directory_.write(name, "x");
  for (const char* other : {"config.json", "model.safetensors", "model-00001-of-00002.safetensors", "README.md",
                            "model.safetensors.index.json", "pytorch_model.bin", "LICENSE"})
    directory_.write(other, "x");
  std::filesystem::create_directory(directory_ / "additional_chat_templates");
  directory_.write("additional_chat_templates/tools.jinja", "x");
  directory_.write("additional_chat_templates/notes.txt", "x");
  std::vector<std::string> found;
  for (const auto& file : companion_files(directory_ / "config.json")) found.push_back(file);
  std::vector<std::string> expected = companions;
  expected.emplace_back("additional_chat_templates/tools.jinja");
  EXPECT_EQ(found, expected);
}

}  // namespace
}  // namespace switchyard::test
