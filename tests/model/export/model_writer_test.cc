// A model that is read and written again is the same, bit for bit, in whatever layout.
#include "model/export/model_writer.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "model/export/base_files.h"
#include "model/random_model.h"
#include "tests/model/export/values_of_model.h"
#include "tests/support/expect_error.h"
#include "tests/support/fixture_models.h"
#include "tests/support/raw_safetensors.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

namespace fs = std::filesystem;

/// A checkpoint with what reads it.
struct Base {
  explicit Base(const fs::path& model)
      : path(model), config(read_model_config(model)), checkpoint(model), table(checkpoint, config, model.native()) {}

  fs::path path;
  ModelConfig config;
  Checkpoint checkpoint;
  TensorTable table;
};

std::string bytes_of(const Checkpoint& checkpoint, const TensorInfo& tensor) {
  std::string bytes(tensor.bytes, '\0');
  checkpoint.read(tensor, 0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

/// Every tensor of the base but those left out, and no other.
void expect_same_tensors(const Base& base, const fs::path& written) {
  const Checkpoint checkpoint(written);
  const std::set<std::string> left_out(base.table.skipped().begin(), base.table.skipped().end());
  EXPECT_EQ(checkpoint.tensors().size() + left_out.size(), base.checkpoint.tensors().size());
  for (const auto& [name, tensor] : base.checkpoint.tensors()) {
    const TensorInfo* found = checkpoint.find(name);
    ASSERT_EQ(found == nullptr, left_out.contains(name)) << name;
    if (found == nullptr) continue;
    EXPECT_EQ(found->dtype_name, tensor.dtype_name) << name;
    EXPECT_EQ(found->shape, tensor.shape) << name;
    EXPECT_EQ(bytes_of(checkpoint, *found), bytes_of(base.checkpoint, tensor)) << name;
  }
}

class WrittenModel : public ::testing::TestWithParam<std::string> {
 protected:
  bool is_quantised() const { return base_.config.quantised() != nullptr; }

  const Base base_{model_path(GetParam())};
  const Values values_ = values_of(base_.table);
  const TemporaryDirectory directory_;
  const fs::path out_ = directory_ / "model";
};

TEST_P(WrittenModel, IsItsBase) {
  if (is_quantised()) {
    EXPECT_TRUE(fails_input({"tensor model.layers.", " codes with scales", "--export f32 or bf16"},
                            [&] { plan_export(base_.table, ExportDType::base); }));
    return;
  }
  write_model(out_, base_.path, plan_export(base_.table, ExportDType::base), rows_of(values_));
  expect_same_tensors(base_, out_);
  EXPECT_EQ(bytes_of_file(out_ / "config.json"), bytes_of_file(base_.path / "config.json"));
  EXPECT_FALSE(fs::exists(out_ / kWeightsIndex));
}

TEST_P(WrittenModel, IsTheSameModelInSeveralFilesOfOneDType) {
  for (const ExportDType dtype : {ExportDType::f32, ExportDType::bf16}) {
    const uint64_t max_bytes = plan_export(base_.table, dtype).bytes() / 4;
    const ExportPlan plan = plan_export(base_.table, dtype, max_bytes);
    EXPECT_GE(plan.files.size(), 4u);
    write_model(out_, base_.path, plan, rows_of(values_));
    const Base written(out_);
    EXPECT_EQ(written.config.quantised(), nullptr);
    ModelConfig expected_config = base_.config;
    expected_config.storage = PlainWeights{};
    EXPECT_EQ(written.config, expected_config);
    for (const auto& [name, tensor] : written.checkpoint.tensors())
      EXPECT_EQ(tensor.dtype_name, dtype == ExportDType::f32 ? "F32" : "BF16") << name;
    EXPECT_EQ(named_dtype(out_), *plan.dtype);
    Values expected = values_;
    if (dtype == ExportDType::bf16)
      for (auto& [name, values] : expected)
        for (float& x : values) x = to_float(to_bfloat16(x));
    EXPECT_EQ(values_of(written.table), expected);
    for (const ExportFile& file : plan.files) {
      uint64_t bytes = 0;
      for (const ExportTensor& tensor : file.tensors) bytes += tensor.spec.bytes();
      EXPECT_TRUE(bytes <= max_bytes || file.tensors.size() == 1) << file.name;
    }
  }
}

/// Other ranks send their rows by the plan: in the order in which they are asked for.
TEST_P(WrittenModel, IsAskedForInThePlansOrder) {
  const ExportPlan plan = plan_export(base_.table, ExportDType::f32);
  std::vector<std::string> foreseen, asked;
  const auto describe = [](const ParameterRows& rows) {
    return fmt::format("{} {} + {}", rows.parameter.name(), rows.first, rows.count);
  };
  plan.for_each_request([&](const ParameterRows& rows) { foreseen.push_back(describe(rows)); });
  const RowSource source = rows_of(values_);
  write_model(out_, base_.path, plan, [&](const ParameterRows& rows, std::span<float> out) {
    asked.push_back(describe(rows));
    source(rows, out);
  });
  EXPECT_EQ(asked, foreseen);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, WrittenModel, ::testing::ValuesIn(all_models()),
                         [](const auto& each) { return test_name(each.param); });

class ModelWriter : public ::testing::Test {
 protected:
  const Base base_{model_path("qwen3moe-fused")};
  Values values_ = values_of(base_.table);
  const TemporaryDirectory directory_;
  const fs::path out_ = directory_ / "model";
};

/// What does not fit in memory at once is asked for in blocks of rows.
TEST_F(ModelWriter, AsksForLargeTensorsInPieces) {
  ModelConfig large = base_.config;
  large.vocab_size = 100'000;
  const ExportPlan plan = plan_export(large, base_.path, ExportDType::f32);
  std::map<std::string, int64_t> rows_seen;
  plan.for_each_request([&](const ParameterRows& rows) {
    EXPECT_TRUE(std::cmp_less_equal(rows.elements(), kExportedAtOnce));
    EXPECT_EQ(rows.first, rows_seen[rows.parameter.name()]);
    rows_seen[rows.parameter.name()] += rows.count;
  });
  EXPECT_EQ(rows_seen.at("lm_head.weight"), 100'000);
}

TEST_F(ModelWriter, TakesLargeTensorsInPieces) {
  TemporaryDirectory model;
  Json json = read_config_json(base_.path);
  json["vocab_size"] = 70'000;  // · 32 weights
  model.write("config.json", json.dump());
  const ModelConfig config = read_model_config(model.path());
  const RowSource source = [](const ParameterRows& rows, std::span<float> out) {
    random_parameters({.seed = 3}, rows, out);
  };
  write_model(out_, model.path(), plan_export(config, model.path(), ExportDType::f32), source);
  const Values written = values_of(out_);
  const Parameter embed{.module = "model.embed_tokens", .shape = {70'000, 32}};
  std::vector<float> expected(70'000 * 32);
  source({embed, 0, 70'000}, expected);
  EXPECT_EQ(written.at(embed.name()), expected);
}

/// Older checkpoints store a head that is tied to the embeddings.
TEST_F(ModelWriter, KeepsAStoredCopyOfATiedHead) {
  const fs::path fixture = model_path("switchyard-tied");
  const Checkpoint checkpoint(fixture);
  std::vector<RawTensor> tensors;
  for (const auto& [name, tensor] : checkpoint.tensors())
    tensors.push_back({name, tensor.dtype_name, tensor.shape, bytes_of(checkpoint, tensor)});
  RawTensor head = *std::ranges::find(tensors, "model.embed_tokens.weight", &RawTensor::name);
  head.name = "lm_head.weight";
  tensors.push_back(head);
  const TemporaryDirectory model;
  fs::copy_file(fixture / "config.json", model / "config.json");
  write_raw_safetensors(model / "model.safetensors", tensors);
  const Base base(model.path());
  const Values values = values_of(base.table);
  write_model(out_, base.path, plan_export(base.table, ExportDType::base), rows_of(values));
  expect_same_tensors(base, out_);
}

TEST_F(ModelWriter, ReplacesAnOldModel) {
  const ExportPlan plan = plan_export(base_.table, ExportDType::base);
  write_model(out_, base_.path, plan_export(base_.table, ExportDType::f32, 20'000), rows_of(values_));
  write_model(out_, base_.path, plan, rows_of(values_));
  expect_same_tensors(base_, out_);
  EXPECT_EQ(std::distance(fs::directory_iterator(out_), {}), 2);
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_.path()), {}), 1);
}

TEST_F(ModelWriter, AValueThatCannotBeStoredIsNamedAndTheOldModelStays) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const ExportPlan plan = plan_export(base_.table, ExportDType::f32),
                   rounded = plan_export(base_.table, ExportDType::bf16);
  write_model(out_, base_.path, plan, rows_of(values_));
  const std::string old = bytes_of_file(out_ / kWeightsFile);
  // Of the fourth expert's [2f, d], in up's half.
  const int64_t f = base_.config.moe().expert_size, d = base_.config.hidden_size;
  float& weight = values_.at("model.layers.1.mlp.experts.3.up_proj.weight")[17];
  const std::string named = fmt::format("mlp.experts.gate_up_proj: weight {} is ", (3 * 2 + 1) * f * d + 17);
  for (const float bad : {kInf, -kInf, std::numeric_limits<float>::quiet_NaN()}) {
    weight = bad;
    EXPECT_TRUE(
        fails(ExitCode::output, {named, "f32"}, [&] { write_model(out_, base_.path, plan, rows_of(values_)); }));
  }
  weight = 0x1.ffp127f;
  EXPECT_TRUE(
      fails(ExitCode::output, {named, "bf16"}, [&] { write_model(out_, base_.path, rounded, rows_of(values_)); }));
  EXPECT_EQ(bytes_of_file(out_ / kWeightsFile), old);
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_.path()), {}), 1);
}

TEST_F(ModelWriter, HalvesThatOverflowAreNamed) {
  const Base base(model_path("mixtral-sharded"));
  Values values = values_of(base.table);
  values.at("model.norm.weight")[3] = 65520;
  EXPECT_TRUE(fails(ExitCode::output, {"model.norm.weight: weight 3 is 65520", "f16"}, [&] {
    write_model(out_, base.path, plan_export(base.table, ExportDType::base), rows_of(values));
  }));
}

/// Ranks that send their rows must come to the end.
TEST_F(ModelWriter, AsksForAllRowsWhateverFails) {
  const ExportPlan plan = plan_export(base_.table, ExportDType::f32);
  size_t foreseen = 0, asked = 0;
  plan.for_each_request([&](const ParameterRows&) { ++foreseen; });
  const fs::path blocked = directory_.write("file", "");
  EXPECT_TRUE(fails(ExitCode::output, {"file"}, [&] {
    write_model(blocked / "model", base_.path, plan, [&](const ParameterRows&, std::span<float> out) {
      std::ranges::fill(out, 0.0f);
      ++asked;
    });
  }));
  EXPECT_EQ(asked, foreseen);
  EXPECT_TRUE(fails_input({"gone"}, [&] { write_model(out_, directory_ / "gone", plan, rows_of(values_)); }));
}

}  // namespace
}  // namespace switchyard::test
