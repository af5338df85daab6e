// Tensors that are read in several pieces come out as in one, whichever way they are stored.
#include "model/checkpoint/loader.h"

#include <gtest/gtest.h>

#include "tests/model/checkpoint/raw_model.h"
#include "tests/model/scoring.h"
#include "tests/reference/weight_codes.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

constexpr int64_t kHidden = 1100, kSize = 600, kRows = 2 * kSize, kBlockRows = 16, kBlockColumns = 7;
static_assert(kRows * kHidden > PartReader::kWeightsAtOnce);
static_assert(PartReader::kWeightsAtOnce / kHidden % kBlockRows != 0, "a piece ends within a block");
constexpr int64_t kScaleRows = kRows / kBlockRows, kScaleColumns = kHidden / kBlockColumns + 1;

template <class T>
std::vector<T> transposed(const std::vector<T>& in, int64_t rows, int64_t columns) {
  std::vector<T> out(in.size());
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      out[static_cast<size_t>(c * rows + r)] = in[static_cast<size_t>(r * columns + c)];
  return out;
}

/// A qwen3_moe of one layer and one expert, whose gate and up are one tensor.
class LargeTensor : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int64_t i = 0; i < kRows * kHidden; ++i) codes_.push_back(static_cast<uint8_t>(i * i % 73 + i % 2 * 128));
    for (int64_t i = 0; i < kScaleRows * kScaleColumns; ++i)
      scales_.push_back(0x1p-8f * static_cast<float>(i % 29 + 1));
  }

  /// With this tensor, and its scales if there are any, for gate and up, and down stored in the same orientation.
  std::vector<RecordScores> scores(std::vector<RawTensor> gate_up, bool is_transposed, const Json& quantization) {
    Json json = parse_json(R"({"model_type": "qwen3_moe", "vocab_size": 11, "num_hidden_layers": 1,
      "num_attention_heads": 1, "head_dim": 4, "num_experts": 1, "num_experts_per_tok": 1, "intermediate_size": 9,
      "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 10000.0})",
                           "test");
    json["hidden_size"] = kHidden;
    json["moe_intermediate_size"] = kSize;
    json["quantization_config"] = quantization;
    directory_.write("config.json", json.dump());

    std::vector<RawTensor> tensors = plain_tensors(read_model_config(directory_.path()), ".experts.");
    std::vector<float> down(kHidden * kSize);
    for (size_t i = 0; i < down.size(); ++i) down[i] = static_cast<float>(i % 1013) / 0x1p16f;
    const std::vector<int64_t> shape = {1, kHidden, kSize}, turned = {1, kSize, kHidden};
    gate_up.push_back({"down_proj", "F32", is_transposed ? turned : shape,
                       raw_bytes(is_transposed ? transposed(down, kHidden, kSize) : down)});
    for (RawTensor& tensor : gate_up) tensor.name = "model.layers.0.mlp.experts." + tensor.name;
    tensors.insert(tensors.end(), gate_up.begin(), gate_up.end());
    if (is_transposed)  // as Qwen3-VL has it
      for (RawTensor& tensor : tensors)
        if (tensor.name.starts_with("model.")) tensor.name.insert(6, "language_model.");
    write_raw_safetensors(directory_ / "model.safetensors", tensors);
    return score_records(directory_.path(), {{.tokens = {3, 1, 4, 1, 5, 9, 2, 6}, .context = 1}}, {});
  }

  static Json fp8(int64_t rows, int64_t columns) {
    return {{"quant_method", "fp8"}, {"weight_block_size", {rows, columns}}};
  }

  std::vector<uint8_t> codes_;
  std::vector<float> scales_;
  TemporaryDirectory directory_;
};

TEST_F(LargeTensor, IsReadInPieces) {
  std::vector<float> values;
  for (int64_t i = 0; i < kRows * kHidden; ++i) {
    const int64_t block = i / kHidden / kBlockRows * kScaleColumns + i % kHidden / kBlockColumns;
    values.push_back(
        reference::scaled(reference::e4m3(codes_[static_cast<size_t>(i)]), scales_[static_cast<size_t>(block)]));
  }
  const auto expected = scores({{"gate_up_proj", "F32", {1, kRows, kHidden}, raw_bytes(values)}}, false, nullptr);
  const auto turned = scores(
      {{"gate_up_proj", "F32", {1, kHidden, kRows}, raw_bytes(transposed(values, kRows, kHidden))}}, true, nullptr);
  EXPECT_EQ(first_difference(turned, expected), "");
  const auto coded = scores({{"gate_up_proj", "F8_E4M3", {1, kRows, kHidden}, raw_bytes(codes_)},
                             {"gate_up_proj_scale_inv", "F32", {1, kScaleRows, kScaleColumns}, raw_bytes(scales_)}},
                            false, fp8(kBlockRows, kBlockColumns));
  EXPECT_EQ(first_difference(coded, expected), "");
  const auto coded_and_turned =
      scores({{"gate_up_proj", "F8_E4M3", {1, kHidden, kRows}, raw_bytes(transposed(codes_, kRows, kHidden))},
              {"gate_up_proj_scale_inv",
               "F32",
               {1, kScaleColumns, kScaleRows},
               raw_bytes(transposed(scales_, kScaleRows, kScaleColumns))}},
             true, fp8(kBlockColumns, kBlockRows));
  EXPECT_EQ(first_difference(coded_and_turned, expected), "");
}

/// What is held while a layer's largest tensor is read: f32 values of all of it, of the rows that go to other places,
/// and the rows as stored, of at most four bytes; scales as f32, and stored in the same buffer as the rows.
TEST(LoadingMemory, CountsWhatIsHeld) {
  ModelConfig c{.family = "switchyard", .vocab_size = 1, .hidden_size = 64, .max_positions = 64};
  c.layers.push_back({.attention = AttentionConfig::of_heads(1, 1, 2, 10'000),
                      .feed_forward = MoeConfig{.router = {2, 1}, .expert_size = 512}});
  constexpr size_t kWeights = 2 * 512 * 64;  // gate and up
  const auto scratch = [&] { return predict_weight_bytes(c, DType::bf16, 2, 3).scratch; };
  EXPECT_EQ(scratch(), 3 * 12 * kWeights);
  c.storage = QuantisedWeights{"fp8", 1, 1};
  EXPECT_EQ(scratch(), 3 * 16 * kWeights);
  c.storage = QuantisedWeights{"fp8", 128, 128};
  EXPECT_EQ(scratch(), 3 * (12 * kWeights + 4 * 8));  // [1024, 64]
  c.storage = QuantisedWeights{"mxfp4", 1, 32};
  EXPECT_EQ(scratch(), 3 * (12 * kWeights + 4 * kWeights / 32));
  std::get<MoeConfig>(c.layers[0].feed_forward).expert_size = 1 << 15;  // beyond a piece
  EXPECT_EQ(scratch(), 3 * (4 * 64 * kWeights + 8 * (size_t{1} << 20) + 4 * 64 * kWeights / 32));
}

}  // namespace
}  // namespace switchyard::test
