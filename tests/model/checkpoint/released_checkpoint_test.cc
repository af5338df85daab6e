// Fixtures as released checkpoints are, spoilt: what is wrong with one is named. And written in other ways: it is the
// same model.
#include <gtest/gtest.h>

#include <functional>

#include "model/checkpoint/loader.h"
#include "tests/model/scoring.h"
#include "tests/support/expect_error.h"
#include "tests/support/fixture_models.h"
#include "tests/support/raw_safetensors.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

/// A fixture's tensors and configuration, to be changed.
struct ChangedModel {
  explicit ChangedModel(const std::string& name)
      : config(parse_json(bytes_of_file(model_path(name) / "config.json"), "config.json")) {
    const Checkpoint checkpoint(model_path(name));
    for (const auto& [tensor_name, info] : checkpoint.tensors()) {
      tensors.push_back({tensor_name, info.dtype_name, info.shape, std::string(info.bytes, '\0')});
      checkpoint.read(info, 0, std::as_writable_bytes(std::span(tensors.back().bytes)));
    }
  }

  RawTensor& operator[](std::string_view name) {
    const auto found = std::ranges::find(tensors, name, &RawTensor::name);
    if (found == tensors.end()) throw std::out_of_range(std::string(name));
    return *found;
  }
  void remove(std::string_view name) {
    EXPECT_EQ(std::erase_if(tensors, [&](const RawTensor& t) { return t.name == name; }), 1) << name;
  }
  void write(const TemporaryDirectory& to) const {
    to.write("config.json", config.dump());
    write_raw_safetensors(to / "model.safetensors", tensors);
  }
  void load() const {
    const TemporaryDirectory directory;
    write(directory);
    const Checkpoint checkpoint(directory.path());
    const ModelConfig c = read_model_config(directory.path());
    const TensorTable table(checkpoint, c, "a model");
    ThreadPool pool(2);
    load_model({Device::cpu, &pool}, table, DType::f32, ExpertPlacement::blocks(c.num_experts(), 1), 0);
  }

  Json config;
  std::vector<RawTensor> tensors;
};

struct Spoilt {
  const char *model, *tensor;
  std::function<void(ChangedModel&, RawTensor&)> spoil;
  std::string says;
};

const std::string kLayer = "model.layers.1.";

TEST(ReleasedCheckpoint, WhatIsWrongIsNamed) {
  const auto vanish = [](ChangedModel& m, RawTensor& t) { m.remove(std::string(t.name)); };
  const auto one_longer = [](ChangedModel&, RawTensor& t) {
    ++t.shape.back();
    const auto rows = std::accumulate(t.shape.begin(), t.shape.end() - 1, int64_t{1}, std::multiplies{});
    t.bytes.append(static_cast<size_t>(rows) * (t.dtype == "U8" ? 1 : 2), '\0');
  };
  const auto third_is_nan = [](ChangedModel&, RawTensor& t) { t.bytes.replace(4, 2, "\xc0\x7f"); };  // BF16
  const auto renamed = [](const char* to) { return [to](ChangedModel&, RawTensor& t) { t.name = to; }; };
  const Spoilt cases[] = {
      {"gptoss", "self_attn.sinks", vanish, "is missing"},
      {"gptoss", "self_attn.sinks", one_longer, "expected ["},
      {"gptoss", "self_attn.sinks", third_is_nan, "weight 2 is nan"},
      {"gptoss", "self_attn.q_proj.bias", third_is_nan, "weight 2 is nan"},
      {"gptoss", "mlp.router.bias", third_is_nan, "weight 2 is nan"},
      {"gptoss", "mlp.experts.down_proj_bias", third_is_nan, "weight 2 is nan"},
      {"gptoss", "mlp.experts.gate_up_proj_bias", vanish, "is missing"},
      {"gptoss", "mlp.experts.gate_up_proj_bias", one_longer, "expected ["},
      {"gptoss", "mlp.experts.gate_up_proj", one_longer, "expected ["},
      {"gptoss-mxfp4", "mlp.experts.gate_up_proj_scales", vanish, "gate_up_proj_scales is missing"},
      {"gptoss-mxfp4", "mlp.experts.down_proj_blocks", vanish, "down_proj_blocks is missing"},
      {"gptoss-mxfp4", "mlp.experts.down_proj_scales", one_longer, "expected ["},
      {"deepseekv3", "self_attn.kv_b_proj.weight_scale_inv", vanish, "weight_scale_inv is missing"},
      {"deepseekv3", "self_attn.kv_a_layernorm.weight", one_longer, "expected ["},
      {"deepseekv3", "mlp.gate.e_score_correction_bias", vanish, "is missing"},
      {"glm4moe", "mlp.shared_experts.up_proj.weight", vanish, "is missing"},
      {"glm4moe", "mlp.shared_experts.up_proj.weight", renamed("model.layers.9.enorm.weight"), "belongs to no part"},
  };
  for (const Spoilt& spoilt : cases) {
    SCOPED_TRACE(fmt::format("{} {}: {}", spoilt.model, spoilt.tensor, spoilt.says));
    ChangedModel model(spoilt.model);
    const std::string name = kLayer + spoilt.tensor;
    spoilt.spoil(model, model[name]);
    EXPECT_TRUE(fails_input({"model.layers.", spoilt.says}, [&] { model.load(); }));
  }
}

TEST(ReleasedCheckpoint, CodesNeedAConfigurationThatNamesTheirFormat) {
  ChangedModel model("gptoss-mxfp4");
  model.config.erase("quantization_config");
  EXPECT_TRUE(fails_input({"gate_up_proj is missing"}, [&] { model.load(); }));
}

TEST(ReleasedCheckpoint, LayersBeyondTheLastAreSkippedWhereTheyAreAnnounced) {
  ChangedModel model("glm4moe");
  EXPECT_NO_THROW(model.load());
  model.config["num_nextn_predict_layers"] = 0;
  EXPECT_TRUE(fails_input({"belongs to no part of a glm4_moe model"}, [&] { model.load(); }));
}

TEST(ReleasedCheckpoint, OtherModalitiesAreSkippedAndNothingElse) {
  for (const char* name : {"llama4", "qwen3vlmoe"}) {
    ChangedModel model(name);
    EXPECT_NO_THROW(model.load()) << name;
    model.tensors.push_back({"audio_tower.weight", "F32", {1}, std::string(4, '\0')});
    EXPECT_TRUE(fails_input({"audio_tower.weight"}, [&] { model.load(); })) << name;
  }
}

/// [E, rows, columns] of two-byte numbers to [E, columns, rows].
void turn(RawTensor& t) {
  const int64_t rows = t.shape[1], columns = t.shape[2];
  const std::string from = t.bytes;
  for (int64_t i = 0; i < std::ssize(from) / 2; ++i) {
    const int64_t expert = i / (rows * columns), row = i / columns % rows, column = i % columns;
    const int64_t to = (expert * columns + column) * rows + row;
    t.bytes.replace(static_cast<size_t>(2 * to), 2, from, static_cast<size_t>(2 * i), 2);
  }
  std::swap(t.shape[1], t.shape[2]);
}

/// transformers 5 saves Qwen3-VL's experts the other way round than they were released, under the same names.
TEST(ReleasedCheckpoint, ExpertsMayLieEitherWayWhereTheirShapeTells) {
  const std::vector<Record> input = read_records(reference_path("qwen3vlmoe") / "input.h5");
  const auto released = score_records(model_path("qwen3vlmoe"), input, {});
  ChangedModel model("qwen3vlmoe");
  for (RawTensor& t : model.tensors)
    if (t.name.find("mlp.experts.") != std::string::npos) turn(t);
  const TemporaryDirectory directory;
  model.write(directory);
  EXPECT_EQ(first_difference(released, score_records(directory.path(), input, {})), "");
}

}  // namespace
}  // namespace switchyard::test
