// Codes and scales become the numbers that the formats say, bit for bit, and what is no number or does not fit together
// is refused by name.
#include "model/checkpoint/weight_format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "model/checkpoint/part_reader.h"
#include "tests/model/checkpoint/raw_model.h"
#include "tests/reference/weight_codes.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

constexpr int64_t kWidth = 32;
constexpr const char* kEmbed = "model.embed_tokens.weight";
constexpr const char* kEmbedScales = "model.embed_tokens.weight_scale_inv";
constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNaN = std::numeric_limits<float>::quiet_NaN();

Json fp8(int64_t rows, int64_t columns) {
  return {{"quant_method", "fp8"}, {"fmt", "e4m3"}, {"weight_block_size", {rows, columns}}};
}

/// A small qwen3_moe with the embeddings [vocabulary, 32] under test.
class QuantisedTensor : public ::testing::Test {
 protected:
  void add(const std::string& name, const std::string& dtype, const std::vector<int64_t>& shape,
           const std::string& bytes) {
    tensors_.push_back({name, dtype, shape, bytes});
  }
  void add_fp8(const std::vector<uint8_t>& codes, const std::vector<int64_t>& scales_shape,
               const std::vector<float>& scales) {
    add(kEmbed, "F8_E4M3", {std::ssize(codes) / kWidth, kWidth}, raw_bytes(codes));
    add(kEmbedScales, "F32", scales_shape, raw_bytes(scales));
  }
  void add_mxfp4(const std::vector<uint8_t>& blocks, const std::vector<uint8_t>& scales) {
    const int64_t rows = std::ssize(scales);
    add(std::string(kEmbed) + "_blocks", "U8", {rows, 1, 16}, raw_bytes(blocks));
    add(std::string(kEmbed) + "_scales", "U8", {rows, 1}, raw_bytes(scales));
  }

  /// The embeddings as the loader gets them; every other tensor is found too.
  std::vector<float> read(int64_t vocabulary, const Json& quantization) {
    Json json = parse_json(R"({"model_type": "qwen3_moe", "hidden_size": 32, "num_hidden_layers": 1,
      "num_attention_heads": 1, "head_dim": 4, "num_experts": 1, "num_experts_per_tok": 1, "moe_intermediate_size": 3,
      "intermediate_size": 9, "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
      "tie_word_embeddings": true})",
                           "test");
    json["vocab_size"] = vocabulary;
    json["quantization_config"] = quantization;
    const ModelConfig config = parse_model_config(json, "config.json");
    std::vector<RawTensor> tensors = plain_tensors(config, kEmbed);
    tensors.insert(tensors.end(), tensors_.begin(), tensors_.end());
    write_raw_safetensors(directory_ / "model.safetensors", tensors);
    const Checkpoint checkpoint(directory_.path());
    const TensorTable table(checkpoint, config, "a model");
    StoredTensor embed;
    embed.parts[0] = {.module = kEmbed, .kind = "", .shape = {vocabulary, kWidth}};
    const TensorPart part = table.parts_of(embed).at(0);
    std::vector<float> values(part.weights.elements());
    PartReader reader(checkpoint);
    reader.open(part);
    for (size_t row = 0; row < values.size(); row += 3 * kWidth)  // in pieces that are no multiple of a block
      reader.read(std::min<int64_t>(3, std::ssize(values) / kWidth - static_cast<int64_t>(row) / kWidth),
                  [&](int64_t r) { return std::span(values).subspan(static_cast<size_t>(r * kWidth), kWidth); });
    std::vector<PartHash> hashes;
    reader.close(hashes);
    return values;
  }

  std::vector<RawTensor> tensors_;
  TemporaryDirectory directory_;
};

/// Bits, for zeros have signs.
void expect_bits(float got, float want, const std::string& what) {
  EXPECT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(want)) << what << ": " << got << ", not " << want;
}

TEST_F(QuantisedTensor, EveryCodeOfE4M3TimesScalesOfEveryKind) {
  const std::vector<float> scales = {1.0f,        0.0f,         -0.0f,         -0.375f,   0x1p-126f,
                                     0x1p-149f,   -0x1.8p-140f, 0x1p119f,      0x1p-134f, 0x1.fffffep-118f,
                                     1.0f / 3.0f, 448.0f,       0x1.234566p-7f};
  std::vector<uint8_t> codes;
  for (size_t i = 0; i < scales.size() * 256; ++i) codes.push_back(i % 128 == 127 ? 0 : static_cast<uint8_t>(i));
  const auto count = std::ssize(scales);
  add_fp8(codes, {count, 1}, scales);
  const std::vector<float> got = read(8 * count, fp8(8, kWidth));
  ASSERT_EQ(got.size(), codes.size());
  for (size_t i = 0; i < got.size(); ++i)
    expect_bits(got[i], reference::scaled(reference::e4m3(codes[i]), scales[i / 256]),
                fmt::format("{} × {}", codes[i], scales[i / 256]));
}

TEST_F(QuantisedTensor, Fp8BlocksAreCutShortAtTheEdges) {
  constexpr int64_t kHeight = 20;
  for (const auto& [block_rows, block_columns] :
       {std::pair{1, 1}, {1, 32}, {3, 5}, {7, 32}, {20, 31}, {19, 1}, {128, 128}}) {
    for (const char* dtype : {"F32", "BF16"}) {
      const int64_t down = (kHeight + block_rows - 1) / block_rows,
                    across = (kWidth + block_columns - 1) / block_columns;
      std::vector<uint8_t> codes;
      for (int64_t i = 0; i < kHeight * kWidth; ++i) codes.push_back(static_cast<uint8_t>(i * 37 % 127 + i % 2 * 128));
      std::vector<float> scales;
      std::vector<uint16_t> halves;
      for (int64_t i = 0; i < down * across; ++i) {
        halves.push_back(static_cast<uint16_t>(0x3f80 + i));
        scales.push_back(std::bit_cast<float>(static_cast<uint32_t>(halves.back()) << 16));
      }
      tensors_.clear();
      add(kEmbed, "F8_E4M3", {kHeight, kWidth}, raw_bytes(codes));
      add(kEmbedScales, dtype, {down, across}, std::string(dtype) == "F32" ? raw_bytes(scales) : raw_bytes(halves));
      const std::vector<float> got = read(kHeight, fp8(block_rows, block_columns));
      for (int64_t r = 0; r < kHeight; ++r)
        for (int64_t c = 0; c < kWidth; ++c) {
          const auto i = static_cast<size_t>(r * kWidth + c);
          const float scale = scales[static_cast<size_t>(r / block_rows * across + c / block_columns)];
          expect_bits(got[i], reference::scaled(reference::e4m3(codes[i]), scale),
                      fmt::format("[{}, {}] in blocks of {} × {}", r, c, block_rows, block_columns));
        }
    }
  }
}

TEST_F(QuantisedTensor, OfAnFp8CheckpointMayBeOfPlainNumbers) {
  const std::vector<float> values(2 * kWidth, 0.1f);
  add(kEmbed, "F32", {2, kWidth}, raw_bytes(values));
  EXPECT_EQ(read(2, fp8(128, 128)), values);
}

constexpr int kScalesOfFiniteWeights = 253;  // 6 · 2^125 is finite

TEST_F(QuantisedTensor, EveryCodeOfMxfp4TimesEveryScale) {
  std::vector<uint8_t> blocks, scales;
  for (int s = 0; s < kScalesOfFiniteWeights; ++s) {
    scales.push_back(static_cast<uint8_t>(s));
    for (int j = 0; j < 16; ++j) blocks.push_back(static_cast<uint8_t>(j | (15 - j + s) % 16 << 4));
  }
  add_mxfp4(blocks, scales);
  const std::vector<float> got = read(kScalesOfFiniteWeights, {{"quant_method", "mxfp4"}});
  ASSERT_EQ(got.size(), blocks.size() * 2);
  for (size_t i = 0; i < got.size(); ++i) {
    const int code = blocks[i / 2] >> (i % 2 == 0 ? 0 : 4) & 15, exponent = scales[i / 32] - 127;
    expect_bits(got[i], static_cast<float>(std::ldexp(reference::e2m1(code), exponent)),
                fmt::format("{} · 2^{}", code, exponent));
  }
}

TEST_F(QuantisedTensor, LargestScalesOfMxfp4) {
  std::vector<uint8_t> blocks(2 * 16, 0x9b);  // −1.5, −0.5
  add_mxfp4(blocks, {0, 254});
  const std::vector<float> got = read(2, {{"quant_method", "mxfp4"}});
  EXPECT_EQ(got[32], -0x1.8p127f);
  EXPECT_EQ(got[33], -0x1p126f);
  tensors_.clear();
  blocks[16 + 5] = 0x4b;  // 2 · 2^127
  add_mxfp4(blocks, {0, 254});
  EXPECT_TRUE(fails_input({std::string(kEmbed) + "_blocks", "weight 43 is inf", "finite"}, [&] {
    read(2, {{"quant_method", "mxfp4"}});
  }));
}

TEST_F(QuantisedTensor, ThatIsNoNumberIsRefused) {
  for (const int code : {0x7f, 0xff}) {
    std::vector<uint8_t> codes(4 * kWidth, 0x38);
    codes[3 * kWidth + 7] = static_cast<uint8_t>(code);
    tensors_.clear();
    add_fp8(codes, {1, 1}, {0.0f});
    EXPECT_TRUE(fails_input({kEmbed, "weight 103 is", "nan", "finite"}, [&] { read(4, fp8(128, 128)); }));
  }
  const std::vector<uint8_t> zeros(4 * kWidth);
  for (const float scale : {kInfinity, -kInfinity, kNaN}) {
    tensors_.clear();
    add_fp8(zeros, {2, 2}, {1, 1, scale, 1});
    EXPECT_TRUE(fails_input({kEmbedScales, "scale 2 is", std::isnan(scale) ? "nan" : "inf", "finite"},
                            [&] { read(4, fp8(2, 16)); }));
  }
  tensors_.clear();
  add_fp8(std::vector<uint8_t>(4 * kWidth, 0x7e), {1, 1}, {std::numeric_limits<float>::max()});
  EXPECT_TRUE(fails_input({kEmbed, "weight 0 is inf"}, [&] { read(4, fp8(128, 128)); }));
  tensors_.clear();
  add_mxfp4(std::vector<uint8_t>(3 * 16), {7, 255, 254});
  EXPECT_TRUE(fails_input({std::string(kEmbed) + "_scales", "scale 1 is nan"}, [&] {
    read(3, {{"quant_method", "mxfp4"}});
  }));
}

TEST_F(QuantisedTensor, Fp8ThatDoesNotFitTogetherIsRefused) {
  const std::string codes(4 * kWidth, '\0');
  const std::vector<float> scales = {1, 1, 1, 1};
  const auto refused = [&](std::initializer_list<std::string_view> parts) {
    EXPECT_TRUE(fails_input(parts, [&] { read(4, fp8(2, 16)); }));
    tensors_.clear();
  };
  const std::vector<int64_t> shape = {4, kWidth};
  add(kEmbed, "F8_E4M3", shape, codes);
  refused({"tensor model.embed_tokens.weight_scale_inv is missing"});
  add(kEmbedScales, "F32", {2, 2}, raw_bytes(scales));
  refused({"tensor model.embed_tokens.weight is missing"});
  add(kEmbed, "F32", shape, codes + codes + codes + codes);
  add(kEmbedScales, "F32", {2, 2}, raw_bytes(scales));
  refused({kEmbed, "is F32, expected F8_E4M3"});
  add(kEmbed, "F8_E5M2", shape, codes);
  add(kEmbedScales, "F32", {2, 2}, raw_bytes(scales));
  refused({kEmbed, "is F8_E5M2, expected F8_E4M3"});
  add(kEmbed, "F8_E4M3", shape, codes);
  add(kEmbedScales, "F32", {4, 1}, raw_bytes(scales));
  refused({kEmbedScales, "is [4, 1], expected [2, 2]"});
  add(kEmbed, "F8_E4M3", shape, codes);
  add(kEmbedScales, "F32", {}, raw_bytes(std::vector<float>{1}));
  refused({kEmbedScales, "is [], expected [2, 2]"});
  add(kEmbed, "F8_E4M3", shape, codes);
  add(kEmbedScales, "U8", {2, 2}, "abcd");
  refused({kEmbedScales, "is U8, expected F32 or BF16"});
  add(kEmbed, "F8_E4M3", {kWidth, 4}, codes);
  add(kEmbedScales, "F32", {2, 2}, raw_bytes(scales));
  refused({kEmbed, "is [32, 4], expected [4, 32]"});
}

TEST_F(QuantisedTensor, Mxfp4ThatDoesNotFitTogetherIsRefused) {
  const std::string blocks = std::string(kEmbed) + "_blocks", scales = std::string(kEmbed) + "_scales";
  const auto refused = [&](std::initializer_list<std::string_view> parts) {
    EXPECT_TRUE(fails_input(parts, [&] { read(2, {{"quant_method", "mxfp4"}}); }));
    tensors_.clear();
  };
  add(blocks, "U8", {2, 1, 16}, std::string(32, '\0'));
  refused({"tensor " + scales + " is missing"});
  add(scales, "U8", {2, 1}, "aa");
  refused({"tensor " + blocks + " is missing"});
  add(blocks, "U8", {2, 16}, std::string(32, '\0'));
  add(scales, "U8", {2, 1}, "aa");
  refused({blocks, "is [2, 16], expected [2, 1, 16]"});
  add(blocks, "U8", {2, 1, 16}, std::string(32, '\0'));
  add(scales, "U8", {2}, "aa");
  refused({scales, "is [2], expected [2, 1]"});
  add(blocks, "U8", {2, 1, 16}, std::string(32, '\0'));
  add(scales, "I8", {2, 1}, "aa");
  refused({scales, "is I8, expected U8"});
}

TEST_F(QuantisedTensor, Mxfp4NeedsRowsOfWholeBlocks) {
  add(kEmbed, "F32", {2, kWidth}, std::string(2 * kWidth * 4, '\0'));
  const std::string down = "model.layers.0.mlp.experts.0.down_proj.weight";  // [32, 3]
  add(down + "_blocks", "U8", {kWidth, 1, 16}, std::string(kWidth * 16, '\0'));
  add(down + "_scales", "U8", {kWidth, 1}, std::string(kWidth, '\0'));
  EXPECT_TRUE(fails_input({down + "_blocks", "has 3 weights a row, expected a multiple of 32"}, [&] {
    read(2, {{"quant_method", "mxfp4"}});
  }));
}

TEST_F(QuantisedTensor, IsRefusedWhereTheConfigurationDoesNotSaySo) {
  add_fp8(std::vector<uint8_t>(4 * kWidth), {2, 2}, {1, 1, 1, 1});
  EXPECT_TRUE(fails_input({kEmbed, "is F8_E4M3, expected F32, BF16 or F16", kEmbedScales}, [&] { read(4, nullptr); }));
}

}  // namespace
}  // namespace switchyard::test
