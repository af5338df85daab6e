// The walk over a model's tensors: which there are, and that each has a place of its own.
#include "model/parameters.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/model/config/sample_configs.h"

namespace switchyard::test {
namespace {

/// A dense layer, and one with two experts and a shared one.
ModelConfig two_layers(bool tied) {
  const AttentionConfig plain = AttentionConfig::of_heads(3, 1, 2, 10'000);
  AttentionConfig normed = plain;
  normed.qk_norm = QkNorm::before_rotary;
  const MoeConfig moe{
      .router = {.num_experts = 2, .experts_per_token = 1, .renormalise = true}, .expert_size = 5, .shared_size = 7};
  ModelConfig c{.family = "switchyard", .vocab_size = 11, .hidden_size = 4, .tied_embeddings = tied};
  c.layers = {{plain, DenseConfig{9}}, {normed, moe}};
  return c;
}

constexpr std::array kBothExperts = {0, 1};

std::map<std::string, std::string> shapes_by_name(const ModelConfig& c) {
  std::map<std::string, std::string> shapes;
  for_each_tensor(c, kBothExperts, nullptr, [&](const StoredTensor& tensor) {
    if (tensor.tied) return;
    for (const Parameter& p : tensor.parameters())
      EXPECT_TRUE(shapes.emplace(p.name(), p.shape.str()).second) << p.name() << " twice";
  });
  return shapes;
}

TEST(Parameters, HaveTheNamesAndShapesOfHuggingFace) {
  std::map<std::string, std::string> expected = {{"model.embed_tokens.weight", "[11, 4]"},
                                                 {"lm_head.weight", "[11, 4]"},
                                                 {"model.norm.weight", "[4]"},
                                                 {"model.layers.0.mlp.gate_proj.weight", "[9, 4]"},
                                                 {"model.layers.0.mlp.up_proj.weight", "[9, 4]"},
                                                 {"model.layers.0.mlp.down_proj.weight", "[4, 9]"},
                                                 {"model.layers.1.self_attn.q_norm.weight", "[2]"},
                                                 {"model.layers.1.self_attn.k_norm.weight", "[2]"},
                                                 {"model.layers.1.mlp.gate.weight", "[2, 4]"},
                                                 {"model.layers.1.mlp.experts.0.gate_proj.weight", "[5, 4]"},
                                                 {"model.layers.1.mlp.experts.0.up_proj.weight", "[5, 4]"},
                                                 {"model.layers.1.mlp.experts.0.down_proj.weight", "[4, 5]"},
                                                 {"model.layers.1.mlp.experts.1.gate_proj.weight", "[5, 4]"},
                                                 {"model.layers.1.mlp.experts.1.up_proj.weight", "[5, 4]"},
                                                 {"model.layers.1.mlp.experts.1.down_proj.weight", "[4, 5]"},
                                                 {"model.layers.1.mlp.shared_expert.gate_proj.weight", "[7, 4]"},
                                                 {"model.layers.1.mlp.shared_expert.up_proj.weight", "[7, 4]"},
                                                 {"model.layers.1.mlp.shared_expert.down_proj.weight", "[4, 7]"}};
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    expected[layer + "input_layernorm.weight"] = expected[layer + "post_attention_layernorm.weight"] = "[4]";
    expected[layer + "self_attn.q_proj.weight"] = "[6, 4]";
    expected[layer + "self_attn.k_proj.weight"] = expected[layer + "self_attn.v_proj.weight"] = "[2, 4]";
    expected[layer + "self_attn.o_proj.weight"] = "[4, 6]";
  }
  EXPECT_EQ(shapes_by_name(two_layers(false)), expected);
  expected.erase("lm_head.weight");
  EXPECT_EQ(shapes_by_name(two_layers(true)), expected);
}

TEST(Parameters, AreCountedOnce) {
  // Attention 24 + 8 + 8 + 24 and norms 4 + 4 in each layer; dense 108; qk-norm 4, router 8, experts 60 each,
  // shared 84.
  const int64_t layers = 2 * 72 + 108 + 4 + 8 + 2 * 60 + 84;
  EXPECT_EQ(two_layers(false).total_parameters(), 2 * 44 + 4 + layers);
  EXPECT_EQ(two_layers(true).total_parameters(), 44 + 4 + layers);
  for (const bool tied : {false, true}) EXPECT_EQ(two_layers(tied).active_parameters(), 44 + 4 + layers - 60) << tied;
}

TEST(Parameters, OfLatentsHaveTheNamesOfDeepSeek) {
  const auto shapes = shapes_by_name(sample_latent(false));
  const std::map<std::string, std::string> expected = {{"self_attn.q_a_proj.weight", "[20, 48]"},
                                                       {"self_attn.q_a_proj.bias", "[20]"},
                                                       {"self_attn.q_a_layernorm.weight", "[20]"},
                                                       {"self_attn.q_b_proj.weight", "[54, 20]"},
                                                       {"self_attn.kv_a_proj_with_mqa.weight", "[18, 48]"},
                                                       {"self_attn.kv_a_proj_with_mqa.bias", "[18]"},
                                                       {"self_attn.kv_a_layernorm.weight", "[12]"},
                                                       {"self_attn.kv_b_proj.weight", "[66, 12]"},
                                                       {"self_attn.o_proj.weight", "[48, 30]"},
                                                       {"self_attn.o_proj.bias", "[48]"},
                                                       {"mlp.gate.e_score_correction_bias", "[12]"}};
  for (const auto& [name, shape] : expected) {
    const auto found = shapes.find("model.layers.2." + name);
    ASSERT_NE(found, shapes.end()) << name;
    EXPECT_EQ(found->second, shape) << name;
  }
  EXPECT_FALSE(shapes.contains("model.layers.2.self_attn.k_proj.weight"));
  const auto direct = shapes_by_name(sample_latent(true));
  EXPECT_EQ(direct.at("model.layers.0.self_attn.q_proj.weight"), "[54, 48]");
  for (const char* none : {"q_a_proj.weight", "kv_a_proj_with_mqa.bias", "o_proj.bias"})
    EXPECT_FALSE(direct.contains(std::string("model.layers.0.self_attn.") + none)) << none;
}

TEST(Parameters, BiasesAndSinksHaveTheirNames) {
  const auto shapes = shapes_by_name(sample_sinks());
  const std::map<std::string, std::string> expected = {{"self_attn.q_proj.bias", "[64]"},
                                                       {"self_attn.k_proj.bias", "[32]"},
                                                       {"self_attn.v_proj.bias", "[32]"},
                                                       {"self_attn.o_proj.bias", "[48]"},
                                                       {"self_attn.sinks", "[4]"},
                                                       {"mlp.gate.bias", "[7]"},
                                                       {"mlp.experts.1.gate_proj.bias", "[24]"},
                                                       {"mlp.experts.1.up_proj.bias", "[24]"},
                                                       {"mlp.experts.1.down_proj.bias", "[48]"}};
  for (const auto& [name, shape] : expected) EXPECT_EQ(shapes.at("model.layers.1." + name), shape) << name;
}

TEST(Parameters, EachHasAPlaceOfItsOwn) {
  auto configs = sample_configs();
  for (const bool tied : {false, true}) configs.emplace_back("two layers", two_layers(tied));
  for (const auto& [name, config] : configs) {
    SCOPED_TRACE(name);
    ModelWeights weights = empty_weights(config, DType::f32, 2);
    std::set<const void*> places;
    for_each_tensor(weights.config, kBothExperts, &weights, [&](const StoredTensor& tensor) {
      EXPECT_EQ(tensor.packed, tensor.matrix != nullptr);
      EXPECT_EQ(tensor.packed, tensor.tensor == nullptr);
      EXPECT_TRUE(places.insert(tensor.packed ? static_cast<const void*>(tensor.matrix) : tensor.tensor).second)
          << tensor.parts[0].name();
    });
    const FfnWeights* second = &weights.layers.back().experts[1];
    EXPECT_TRUE(places.contains(&second->gate_up) && places.contains(&second->down) && places.contains(&weights.head));
  }
}

TEST(Parameters, OfExpertsAreThoseAskedFor) {
  ModelWeights weights = empty_weights(two_layers(false), DType::f32, 1);
  const std::array second = {1};
  std::set<std::string> names;
  for_each_tensor(weights.config, second, &weights, [&](const StoredTensor& tensor) {
    if (!tensor.of_expert()) return;
    for (const Parameter& p : tensor.parameters()) names.insert(p.name());
    if (tensor.num_parts == 2) {
      EXPECT_EQ(tensor.matrix, &weights.layers[1].experts[0].gate_up);
      EXPECT_EQ(tensor.shape(), (Shape{10, 4}));
    }
  });
  EXPECT_EQ(names, (std::set<std::string>{"model.layers.1.mlp.experts.1.gate_proj.weight",
                                          "model.layers.1.mlp.experts.1.up_proj.weight",
                                          "model.layers.1.mlp.experts.1.down_proj.weight"}));
}

}  // namespace
}  // namespace switchyard::test
