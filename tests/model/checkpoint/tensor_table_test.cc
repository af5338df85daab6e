// Checkpoints that are not what their config.json says are refused, with the tensor's name.
#include "model/checkpoint/tensor_table.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <limits>

#include "io/safetensors_writer.h"
#include "model/checkpoint/loader.h"
#include "model/checkpoint/model_hash.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

namespace fs = std::filesystem;

/// A tensor of F32 zeros with one value that is not.
struct Tensor {
  std::string name;
  std::vector<int64_t> shape;
  int64_t at = 0;
  float value = 0.5f;
};

/// A qwen3_moe checkpoint of one layer, to be spoilt.
struct SpoiltModel {
  bool tied = false;
  bool fused = false;
  int64_t vocabulary = 11;
  std::vector<Tensor> tensors;

  explicit SpoiltModel(bool is_tied = false, bool is_fused = false) : tied(is_tied), fused(is_fused) {
    const std::string layer = "model.layers.0.", attention = layer + "self_attn.", experts = layer + "mlp.experts.";
    add("model.embed_tokens.weight", {11, 6});
    add("model.norm.weight", {6});
    if (!tied) add("lm_head.weight", {11, 6});
    add(layer + "input_layernorm.weight", {6});
    add(layer + "post_attention_layernorm.weight", {6});
    for (const char* projection : {"q", "k", "v"}) add(attention + projection + "_proj.weight", {8, 6});
    add(attention + "o_proj.weight", {6, 8});
    for (const char* norm : {"q", "k"}) add(attention + norm + "_norm.weight", {4});
    add(layer + "mlp.gate.weight", {3, 6});
    if (fused) {
      add(experts + "gate_up_proj", {3, 10, 6});
      add(experts + "down_proj", {3, 6, 5});
    }
    for (int e = 0; e < 3 && !fused; ++e) {
      const std::string expert = experts + std::to_string(e);
      add(expert + ".gate_proj.weight", {5, 6});
      add(expert + ".up_proj.weight", {5, 6});
      add(expert + ".down_proj.weight", {6, 5});
    }
  }

  void add(const std::string& name, const std::vector<int64_t>& shape) { tensors.push_back({name, shape}); }
  void remove(std::string_view name) {
    EXPECT_EQ(std::erase_if(tensors, [&](const Tensor& t) { return t.name == name; }), 1);
  }
  Tensor& operator[](std::string_view name) {
    for (Tensor& tensor : tensors)
      if (tensor.name == name) return tensor;
    throw std::out_of_range(std::string(name));
  }

  std::vector<TensorSource> sources() const {
    std::vector<TensorSource> sources;
    for (const Tensor& tensor : tensors)
      sources.push_back({tensor.name, DType::f32, tensor.shape, [&tensor](std::span<std::byte> out) {
                           std::ranges::fill(out, std::byte{0});
                           std::memcpy(out.data() + static_cast<size_t>(tensor.at) * sizeof(float), &tensor.value,
                                       sizeof(float));
                         }});
    return sources;
  }

  void write(const fs::path& directory) const { write_safetensors(directory / "model.safetensors", sources()); }

  ModelConfig config() const {
    Json json = parse_json(R"({"model_type": "qwen3_moe", "vocab_size": 11, "hidden_size": 6, "num_hidden_layers": 1,
      "num_attention_heads": 2, "head_dim": 4, "num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 5,
      "intermediate_size": 9, "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 10000.0})",
                           "test");
    json["tie_word_embeddings"] = tied;
    json["vocab_size"] = vocabulary;
    return parse_model_config(json, "config.json");
  }
};

class RefusedCheckpoint : public ::testing::Test {
 protected:
  void load(const SpoiltModel& model, DType operand = DType::f32) {
    model.write(directory_.path());
    load_written(model, operand);
  }

  Hash128 load_written(const SpoiltModel& model, DType operand = DType::f32) {
    const ModelConfig config = model.config();
    const Checkpoint checkpoint(directory_.path());
    const TensorTable table(checkpoint, config, "a model");
    ThreadPool pool(2);
    const Stream stream{Device::cpu, &pool, {}};
    return combine_hashes(load_model(stream, table, operand, ExpertPlacement::blocks(3, 1), 0).hashes);
  }

  TemporaryDirectory directory_;
};

constexpr const char* kExpert = "model.layers.0.mlp.experts.1.up_proj.weight";
constexpr const char* kFused = "model.layers.0.mlp.experts.gate_up_proj";
constexpr const char* kQuery = "model.layers.0.self_attn.q_proj.weight";

TEST_F(RefusedCheckpoint, NotWhenItIsSound) {
  for (const bool tied : {false, true})
    for (const bool fused : {false, true})
      for (const DType operand : {DType::f32, DType::bf16}) EXPECT_NO_THROW(load(SpoiltModel(tied, fused), operand));
}

TEST_F(RefusedCheckpoint, MissingTensor) {
  const SpoiltModel sound, fused(false, true);
  for (const Tensor& tensor : sound.tensors) {
    SpoiltModel model;
    model.remove(tensor.name);
    EXPECT_TRUE(fails_input({"a model", "tensor " + tensor.name + " is missing"}, [&] { load(model); }));
  }
  SpoiltModel model = fused;
  model.remove("model.layers.0.mlp.experts.down_proj");
  EXPECT_TRUE(fails_input({"model.layers.0.mlp.experts.down_proj is missing"}, [&] { load(model); }));
}

TEST_F(RefusedCheckpoint, TensorThatNoRuleClaims) {
  for (const char* name :
       {"model.layers.1.mlp.gate.weight", "model.layers.0.self_attn.q_proj.bias",
        "model.layers.0.mlp.experts.3.up_proj.weight", "model.layers.0.mlp.shared_expert.up_proj.weight",
        "model.layers.0.mlp.gate.e_score_correction_bias", kFused}) {
    SpoiltModel model;
    model.add(name, {5, 6});
    EXPECT_TRUE(fails_input({name, "[5, 6]", "qwen3_moe"}, [&] { load(model); }));
  }
}

TEST_F(RefusedCheckpoint, TensorsAreNamedAtOnce) {
  SpoiltModel model;
  model.remove("model.norm.weight");
  model[kQuery].shape = {6, 8};
  model.add("model.layers.0.self_attn.q_proj.bias", {8});
  EXPECT_TRUE(
      fails_input({"a model: 3 problems", "tensor model.norm.weight is missing", kQuery, "[6, 8]", "q_proj.bias"},
                  [&] { load(model); }));
  SpoiltModel many;
  for (int layer = 1; layer < 100; ++layer) many.add(fmt::format("model.layers.{:02}.x.weight", layer), {1});
  EXPECT_TRUE(fails_input({"99 problems", "layers.01.x", "layers.08.x", "and 91 more"}, [&] { load(many); }));
}

TEST_F(RefusedCheckpoint, NotForTensorsThatTakeNoPart) {
  SpoiltModel model;
  model.add("model.layers.0.self_attn.rotary_emb.inv_freq", {2});
  model.add("model.rotary_emb.inv_freq", {2});
  model.add("model.layers.0.self_attn.rotary_emb.cos_cached", {2});
  model.write(directory_.path());
  EXPECT_NO_THROW(load_written(model));
  model.add("model.rotary_emb.weight", {2});
  EXPECT_TRUE(fails_input({"model.rotary_emb.weight"}, [&] { load(model); }));
}

TEST_F(RefusedCheckpoint, NotForTensorsWithoutElements) {
  const SpoiltModel model;
  std::vector<TensorSource> sources = model.sources();
  sources.push_back({"model.vision.weight", DType::f32, {0, 6}, [](std::span<std::byte>) {}});
  write_safetensors(directory_ / "model.safetensors", sources);
  EXPECT_NO_THROW(load_written(model));
}

constexpr const char* kHead = "lm_head.weight";

TEST_F(RefusedCheckpoint, NotForAHeadThatEqualsTheEmbeddingsItIsTiedTo) {
  SpoiltModel model(true);
  model.write(directory_.path());
  const Hash128 without = load_written(model);
  model.add(kHead, {11, 6});
  model.write(directory_.path());
  EXPECT_EQ(load_written(model), without);  // the same model
}

TEST_F(RefusedCheckpoint, HeadUnlikeTheEmbeddingsItIsTiedTo) {
  SpoiltModel model(true);
  model.add(kHead, {11, 6});
  model[kHead].at = 17;
  EXPECT_TRUE(
      fails_input({"tensor lm_head.weight", "weight 0 is 0", "expected 0.5", "model.embed_tokens.weight", "tie"},
                  [&] { load(model); }));
  model["model.embed_tokens.weight"].at = 17;
  model[kHead].value = 0.25;
  EXPECT_TRUE(fails_input({"weight 17 is 0.25", "expected 0.5"}, [&] { load(model); }));
  model[kHead].shape = {11, 5};
  EXPECT_TRUE(fails_input({kHead, "[11, 5]", "[11, 6]"}, [&] { load(model); }));
}

/// Beyond the first piece that is compared.
TEST_F(RefusedCheckpoint, HeadUnlikeTheEmbeddingsInTheLastWeight) {
  constexpr int64_t kManyRows = 200'000;
  SpoiltModel model(true);
  model.vocabulary = kManyRows;
  model["model.embed_tokens.weight"].shape = {kManyRows, 6};
  model.add(kHead, {kManyRows, 6});
  model[kHead].value = 0.5;
  EXPECT_NO_THROW(load(model));
  model["model.embed_tokens.weight"].at = kManyRows * 6 - 1;
  model[kHead].at = kManyRows * 6 - 1;
  model[kHead].value = 0.25;
  EXPECT_TRUE(fails_input({"weight 1199999 is 0.25", "expected 0.5"}, [&] { load(model); }));
}

TEST_F(RefusedCheckpoint, WrongShape) {
  struct ShapeCase {
    const char* tensor;
    std::vector<int64_t> shape;
    const char *found, *expected;
  };
  const ShapeCase cases[] = {{kExpert, {6, 5}, "[6, 5]", "[5, 6]"},
                             {kQuery, {6, 8}, "[6, 8]", "[8, 6]"},
                             {"model.norm.weight", {7}, "[7]", "[6]"},
                             {"model.norm.weight", {1, 6}, "[1, 6]", "[6]"},
                             {"model.embed_tokens.weight", {12, 6}, "[12, 6]", "[11, 6]"},
                             {"model.layers.0.self_attn.k_norm.weight", {8}, "[8]", "[4]"}};
  for (const ShapeCase& c : cases) {
    SpoiltModel model;
    model[c.tensor].shape = c.shape;
    EXPECT_TRUE(fails_input({c.tensor, c.found, c.expected}, [&] { load(model); }));
  }
  SpoiltModel transposed(false, true);  // Qwen3-VL's orientation under the plain prefix
  transposed[kFused].shape = {3, 6, 10};
  EXPECT_TRUE(fails_input({kFused, "[3, 6, 10]", "[3, 10, 6]"}, [&] { load(transposed); }));
}

TEST_F(RefusedCheckpoint, WrongDType) {
  const SpoiltModel model;
  model.write(directory_.path());
  std::string bytes = bytes_of_file(directory_ / "model.safetensors");
  const std::string sound = std::string("\"") + kQuery + "\":{\"dtype\":\"F32\"";
  const size_t at = bytes.find(sound);
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at + sound.size() - 4, 3, "I32");
  directory_.write("model.safetensors", bytes);
  EXPECT_TRUE(fails_input({kQuery, "I32", "F32, BF16 or F16"}, [&] { load_written(model); }));
}

TEST_F(RefusedCheckpoint, WeightThatIsNoNumber) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
  for (const float value : {kNaN, -kNaN, kInf, -kInf})
    for (const DType operand : {DType::f32, DType::bf16}) {
      for (const Tensor& tensor : SpoiltModel().tensors) {
        SpoiltModel model;
        model[tensor.name].at = 3;
        model[tensor.name].value = value;
        EXPECT_TRUE(
            fails_input({tensor.name, "weight 3", std::isnan(value) ? "nan" : "inf"}, [&] { load(model, operand); }));
      }
      SpoiltModel fused(false, true);
      fused[kFused].at = 2 * 60 + 17;  // of the third expert
      fused[kFused].value = value;
      EXPECT_TRUE(fails_input({kFused, "weight 137"}, [&] { load(fused, operand); }));
    }
}

TEST_F(RefusedCheckpoint, WeightBeyondBFloat16) {
  constexpr float kLargest = 0x1.fep127f, kRoundsToInfinity = 0x1.ffp127f;
  for (const char* name : {kExpert, kQuery, "model.embed_tokens.weight", "lm_head.weight"}) {
    SpoiltModel model;
    model[name].at = 4;
    model[name].value = -kRoundsToInfinity;
    EXPECT_TRUE(fails_input({name, "weight 4", "bf16"}, [&] { load(model, DType::bf16); }));
    EXPECT_NO_THROW(load(model, DType::f32));
    model[name].value = std::nextafter(kRoundsToInfinity, kLargest);
    EXPECT_NO_THROW(load(model, DType::bf16));
  }
  SpoiltModel fused(false, true);
  fused[kFused].at = 60 + 17;  // of the second expert
  fused[kFused].value = kRoundsToInfinity;
  EXPECT_TRUE(fails_input({kFused, "weight 77", "bf16"}, [&] { load(fused, DType::bf16); }));
}

TEST_F(RefusedCheckpoint, WeightBeyondBFloat16InARouterIsFine) {
  SpoiltModel model;  // routers and norms stay in f32
  for (const char* name : {"model.layers.0.mlp.gate.weight", "model.norm.weight"})
    model[name].value = std::numeric_limits<float>::max();
  EXPECT_NO_THROW(load(model, DType::bf16));
}

TEST_F(RefusedCheckpoint, TruncatedFile) {
  const SpoiltModel model;
  model.write(directory_.path());
  const fs::path file = directory_ / "model.safetensors";
  const auto size = fs::file_size(file);
  for (const auto left : {size - 1, size / 2, uintmax_t{100}, uintmax_t{7}, uintmax_t{0}}) {
    fs::resize_file(file, left);
    EXPECT_TRUE(fails_input({file.native()}, [&] { load_written(model); })) << left << " of " << size << " bytes";
  }
}

TEST_F(RefusedCheckpoint, FileThatShrinksAfterItWasOpened) {
  const SpoiltModel model;
  model.write(directory_.path());
  const ModelConfig config = model.config();
  const Checkpoint checkpoint(directory_.path());
  const TensorTable table(checkpoint, config, "a model");
  fs::resize_file(directory_ / "model.safetensors", fs::file_size(directory_ / "model.safetensors") - 400);
  ThreadPool pool(2);
  EXPECT_TRUE(fails_input({"model.safetensors"}, [&] {
    load_model({Device::cpu, &pool, {}}, table, DType::f32, ExpertPlacement::blocks(3, 1), 0);
  }));
}

}  // namespace
}  // namespace switchyard::test
