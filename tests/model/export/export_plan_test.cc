#include "model/export/export_plan.h"

#include <gtest/gtest.h>

#include "tests/model/config/sample_configs.h"
#include "tests/support/fixture_models.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

const ExportTensor* find_tensor(const ExportPlan& plan, std::string_view name) {
  for (const ExportFile& file : plan.files)
    for (const ExportTensor& tensor : file.tensors)
      if (tensor.spec.name == name) return &tensor;
  return nullptr;
}

ExportPlan plan_of_init(const std::string& fixture, ExportDType dtype) {
  const auto path = model_path(fixture) / "config.json";
  return plan_export(read_model_config(path), path, dtype);
}

using Extents = std::vector<int64_t>;

TEST(ExportPlan, AModelWithoutAnOriginHasItsFamiliesLayoutOnTheHub) {
  const ExportPlan qwen = plan_of_init("qwen3moe-fused", ExportDType::f32);
  const ExportTensor* up = find_tensor(qwen, "model.layers.1.mlp.experts.7.up_proj.weight");
  ASSERT_NE(up, nullptr);
  EXPECT_EQ(up->spec.shape, (Extents{20, 32}));
  EXPECT_EQ(find_tensor(qwen, "model.layers.1.mlp.experts.gate_up_proj"), nullptr);

  const ExportPlan mixtral = plan_of_init("mixtral-window", ExportDType::f32);
  EXPECT_NE(find_tensor(mixtral, "model.layers.1.block_sparse_moe.experts.7.w3.weight"), nullptr);

  const ExportPlan gptoss = plan_of_init("gptoss-mxfp4", ExportDType::bf16);  // numbers, in the place of codes
  const ExportTensor* gate_up = find_tensor(gptoss, "model.layers.1.mlp.experts.gate_up_proj");
  ASSERT_NE(gate_up, nullptr);
  EXPECT_EQ(gate_up->spec.shape, (Extents{12, 32, 128}));
  EXPECT_TRUE(gate_up->transposed && gate_up->interleaved);
  const ExportTensor* bias = find_tensor(gptoss, "model.layers.1.mlp.experts.gate_up_proj_bias");
  ASSERT_NE(bias, nullptr);
  EXPECT_EQ(bias->spec.shape, (Extents{12, 128}));

  const ExportPlan tied = plan_of_init("switchyard-tied", ExportDType::f32);
  EXPECT_EQ(find_tensor(tied, "lm_head.weight"), nullptr);
}

TEST(ExportPlan, AModelWithoutAnOriginHasTheDTypeThatItsConfigurationNames) {
  EXPECT_EQ(plan_of_init("qwen3moe-fused", ExportDType::base).dtype, DType::bf16);
  EXPECT_EQ(plan_of_init("mixtral-sharded", ExportDType::base).dtype, DType::f16);
  EXPECT_EQ(plan_of_init("qwen3moe-dense", ExportDType::base).dtype, DType::f32);
  EXPECT_EQ(plan_of_init("gptoss-mxfp4", ExportDType::base).dtype, DType::f32);  // names none
  EXPECT_EQ(plan_of_init("qwen3moe-fused", ExportDType::f32).dtype, DType::f32);
}

TEST(ExportPlan, FilesAreCalledAsTransformersCallsThem) {
  const auto path = model_path("qwen3moe-fused");
  const ModelConfig config = read_model_config(path);
  const ExportPlan whole = plan_export(config, path, ExportDType::f32);
  ASSERT_EQ(whole.files.size(), 1u);
  EXPECT_EQ(whole.files[0].name, "model.safetensors");
  EXPECT_EQ(whole.bytes(), static_cast<uint64_t>(config.total_parameters()) * 4);
  const ExportPlan split = plan_export(config, path, ExportDType::f32, whole.bytes() / 2);
  ASSERT_EQ(split.files.size(), 3u);
  EXPECT_EQ(split.files[0].name, "model-00001-of-00003.safetensors");
  EXPECT_EQ(split.files[2].name, "model-00003-of-00003.safetensors");
  EXPECT_EQ(split.bytes(), whole.bytes());
}

/// dots.llm1 has a bias in F32 among tensors in BF16.
TEST(ExportPlan, WiderTensorsComeFirstInTheirFile) {
  const auto path = model_path("dots1");
  const ModelConfig config = read_model_config(path);
  const Checkpoint checkpoint(path);
  const ExportPlan plan = plan_export(TensorTable(checkpoint, config, "a model"), ExportDType::base);
  ASSERT_EQ(plan.files.size(), 1u);
  const std::vector<ExportTensor>& tensors = plan.files[0].tensors;
  EXPECT_EQ(tensors[0].spec.name, "model.layers.1.mlp.gate.e_score_correction_bias");
  EXPECT_TRUE(std::ranges::is_sorted(tensors, kWiderFirst, &ExportTensor::spec));
}

/// An expert's matrices that lie otherwise than the parameters do are asked for together; other tensors by themselves.
TEST(ExportPlan, PiecesAreWhatIsConvertedAtOnce) {
  const ExportPlan plan = plan_of_init("gptoss", ExportDType::f32);
  const ExportTensor* gate_up = find_tensor(plan, "model.layers.1.mlp.experts.gate_up_proj");
  ASSERT_NE(gate_up, nullptr);
  std::vector<std::string> pieces;
  for_each_piece(*gate_up, [&](std::span<const ParameterRows> piece) {
    ASSERT_EQ(piece.size(), 2u);
    EXPECT_EQ(piece[0].count, piece[0].parameter.shape[0]);
    pieces.push_back(piece[0].parameter.name() + " " + piece[1].parameter.name());
  });
  ASSERT_EQ(pieces.size(), 12u);
  EXPECT_EQ(pieces[3], "model.layers.1.mlp.experts.3.gate_proj.weight model.layers.1.mlp.experts.3.up_proj.weight");
}

/// Values, the same as they are stored if that is in another order, and their bytes.
TEST(ExportPlan, CountsTheMemoryOfItsLargestPiece) {
  EXPECT_EQ(plan_of_init("gptoss-mxfp4", ExportDType::bf16).working_bytes(), 128u * 32 * (4 + 4 + 2));  // an expert's
  EXPECT_EQ(plan_of_init("qwen3moe-fused", ExportDType::bf16).working_bytes(), 300u * 32 * (4 + 2));    // the head
  const auto path = model_path("qwen3moe-fused");
  ModelConfig large = read_model_config(path);
  large.vocab_size = 100'000;
  EXPECT_EQ(plan_export(large, path, ExportDType::f32).working_bytes(), (size_t{1} << 20) * (4 + 4));
}

TEST(ExportPlan, SaysWhatIsLeftOut) {
  const auto path = model_path("glm4moe");
  const ModelConfig config = read_model_config(path);
  const Checkpoint checkpoint(path);
  const ExportPlan plan = plan_export(TensorTable(checkpoint, config, "a model"), ExportDType::base);
  EXPECT_EQ(plan.left_out.size(), 26u);
  for (const std::string& name : plan.left_out) EXPECT_EQ(find_tensor(plan, name), nullptr) << name;
}

}  // namespace
}  // namespace switchyard::test
