// Random weights are the same for any number of ranks and on every device.
#include "model/random_model.h"

#include <gtest/gtest.h>

#include <optional>

#include "base/device.h"
#include "base/rng.h"
#include "kernels/products/gemm.h"
#include "model/memory_plan.h"
#include "model/parameters.h"
#include "tests/model/config/sample_configs.h"
#include "tests/model/scoring.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"

namespace switchyard::test {
namespace {

std::vector<Record> random_records(const ModelConfig& c) {
  std::vector<Record> records(9);
  for (size_t r = 0; r < records.size(); ++r)
    for (size_t i = 0; i < 1 + 5 * r; ++i)
      records[r].tokens.push_back(static_cast<int32_t>(random_bits(r, i) % static_cast<uint64_t>(c.vocab_size)));
  return records;
}

using NamedConfig = std::pair<std::string, ModelConfig>;

class RandomModel : public ::testing::TestWithParam<std::tuple<Device, DType, NamedConfig>> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(device_); !why.empty()) GTEST_SKIP() << why;
  }
  const Device device_ = std::get<0>(GetParam());
  const DType operand_ = std::get<1>(GetParam());
  const ModelConfig config_ = std::get<2>(GetParam()).second;
};

class PlainRandomModel : public RandomModel {};

TEST_P(RandomModel, GivesTheSameBitsOnAnyNumberOfRanks) {
  const std::vector<Record> records = random_records(config_);
  const auto alone =
      score_records(config_, random_model, records, {.operand = operand_, .records_per_batch = 1, .device = device_});
  for (const int ranks : {1, 2, 3, 7}) {
    const ScoringRun run{.operand = operand_, .num_ranks = ranks, .num_threads = 2, .device = device_};
    EXPECT_EQ(first_difference(alone, score_records(config_, random_model, records, run)), "") << ranks << " ranks";
  }
  // Not a degenerate model: predictions differ from token to token.
  const std::vector<float>& scores = alone.back().logprob;
  EXPECT_GT(std::ranges::max(scores) - std::ranges::min(scores), 0.01f);
}

/// Every token has k experts in every MoE layer, and none in a dense one.
TEST_P(PlainRandomModel, CountsTokensByLayer) {
  const ModelConfig& config = config_;
  const std::vector<Record> records = random_records(config);
  int64_t tokens = 0;
  for (const Record& record : records) tokens += std::ssize(record.tokens);
  for (const int ranks : {1, 3}) {
    std::vector<ExchangeCounters> counters(static_cast<size_t>(ranks));
    score_records(config, random_model, records,
                  {.operand = operand_, .num_ranks = ranks, .counters = &counters, .device = device_});
    std::vector<int64_t> of_layer(3);
    for (const ExchangeCounters& c : counters) {
      ASSERT_EQ(c.tokens_per_expert.size(), 3u * 7);
      for (size_t i = 0; i < c.tokens_per_expert.size(); ++i) of_layer[i / 7] += c.tokens_per_expert[i];
      EXPECT_EQ(c.times[0].useful, 0);
      EXPECT_GT(c.times[1].useful, 0);
      EXPECT_GT(c.times[2].useful, 0);
    }
    EXPECT_EQ(of_layer, (std::vector<int64_t>{0, 3 * tokens, 3 * tokens})) << ranks << " ranks";
  }
}

/// W, whatever its layout: the product with the identity is exact.
Tensor unpacked(const Stream& stream, const PackedMatrix& w) {
  const Tensor identity({w.k(), w.k()}, w.operand());
  for (int64_t i = 0; i < w.k(); ++i) identity.set(i * w.k() + i, 1);
  Tensor transposed({w.k(), w.n()}, DType::f32);
  if (stream.device == Device::cpu) {
    gemm(stream, identity, w, GemmOutput::store, transposed);
    return transposed;
  }
  OwnedTensor x(identity.view().shape, w.operand(), stream.device),
      y(transposed.view().shape, DType::f32, stream.device);
  copy(stream, identity.view(), x.view());
  gemm(stream, x.view(), w, GemmOutput::store, y.view());
  copy(stream, y.view(), transposed.view());
  synchronize(stream);
  return transposed;
}

Tensor on_host(const Stream& stream, const OwnedTensor& tensor) {
  Tensor here(tensor.view().shape, tensor.view().dtype);
  copy(stream, tensor.view(), here.view());
  synchronize(stream);
  return here;
}

/// uniform in offset ± scale, by the name of the tensor
Tensor expected(const std::string& name, const Shape& shape, DType dtype, float scale, float offset = 0) {
  Tensor t(shape, dtype);
  const uint64_t seed = hash_of(std::as_bytes(std::span(name))).low;
  for (int64_t i = 0; i < t.size(); ++i)
    t.set(i, scale * (2 * random_uniform(seed, static_cast<uint64_t>(i)) - 1) + offset);
  return t;
}

Tensor transposed(const Tensor& w) {
  const int64_t n = w.view().shape[0], k = w.view().shape[1];
  Tensor t({k, n}, DType::f32);
  for (int64_t i = 0; i < n * k; ++i) t.set(i % k * n + i / k, static_cast<float>(w.at(i)));
  return t;
}

TEST_P(PlainRandomModel, IsAFunctionOfTheTensorsNames) {
  const ModelConfig& c = config_;
  const TestStream stream(device_);
  const LoadedModel model =
      random_model(stream, c, operand_, ExpertPlacement(std::vector<int>{0, 1, 0, 0, 0, 1, 1}, 2), 1);
  const ModelWeights& w = model.weights;
  const LayerWeights& layer = w.layers[2];
  const auto matrix = [&](const std::string& name, int64_t n, int64_t k, DType dtype) {
    return transposed(expected(name, {n, k}, dtype, 0.035f));
  };
  ASSERT_EQ(layer.experts.size(), 3u);
  EXPECT_TRUE(same_bits(on_host(stream, w.embed), expected("model.embed_tokens.weight", {83, 48}, operand_, 0.035f)));
  EXPECT_TRUE(same_bits(on_host(stream, w.norm), expected("model.norm.weight", {48}, DType::f32, 0.1f, 1)));
  EXPECT_TRUE(same_bits(unpacked(stream, w.head), matrix("lm_head.weight", 83, 48, operand_)));
  EXPECT_TRUE(
      same_bits(unpacked(stream, layer.router.weight), matrix("model.layers.2.mlp.gate.weight", 7, 48, DType::f32)));
  EXPECT_TRUE(same_bits(unpacked(stream, layer.attention.k.weight),
                        matrix("model.layers.2.self_attn.k_proj.weight", 32, 48, operand_)));
  EXPECT_TRUE(same_bits(unpacked(stream, layer.experts[1].down),
                        matrix("model.layers.2.mlp.experts.5.down_proj.weight", 48, 24, operand_)));
  EXPECT_EQ(layer.experts[1].gate_up.n(), 48);
  EXPECT_TRUE(layer.dense.empty() && w.layers[0].experts.empty());
  EXPECT_EQ(w.layers[0].dense.size() + layer.shared.size(), 2u);
}

/// The memory that plan_memory() counts with.
TEST_P(RandomModel, TakesWhatIsPredicted) {
  const TestStream stream(device_);
  const ExpertPlacement all = ExpertPlacement::blocks(config_.num_experts(), 1);
  LoadedModel model = random_model(stream, config_, operand_, all, 0);
  size_t bytes = 0;
  for_each_tensor(config_, all.experts_of(0), &model.weights, [&](const StoredTensor& t) {
    if (t.packed) {
      EXPECT_GT(t.matrix->bytes(), 0u) << t.parts[0].name();
      bytes += t.matrix->bytes();
    } else {
      const ConstView held = t.tensor->view();
      EXPECT_NE(held.data, nullptr) << t.parts[0].name();
      bytes += allocation_bytes(held.shape, held.dtype, device_);
    }
  });
  EXPECT_EQ(bytes, predict_weight_bytes(config_, operand_, config_.num_experts(), 1, device_).resident);
}

std::string name_of_case(const ::testing::TestParamInfo<RandomModel::ParamType>& each) {
  return std::string(name_of(std::get<0>(each.param))) + "_" +
         std::string(switchyard::name_of(std::get<1>(each.param))) + "_" + std::get<2>(each.param).first;
}

INSTANTIATE_TEST_SUITE_P(Samples, RandomModel,
                         ::testing::Combine(::testing::ValuesIn(kDevices), ::testing::Values(DType::f32, DType::bf16),
                                            ::testing::ValuesIn(sample_configs())),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Plain, PlainRandomModel,
                         ::testing::Combine(::testing::ValuesIn(kDevices), ::testing::Values(DType::f32, DType::bf16),
                                            ::testing::Values(NamedConfig("plain", sample_plain()))),
                         name_of_case);

std::vector<float> initial(const Parameter& p, int64_t first, int64_t count, uint64_t seed = 7) {
  std::vector<float> values(static_cast<size_t>(count * p.row_elements()), NAN);
  random_parameters({.seed = seed, .range = 0.25}, {p, first, count}, values);
  return values;
}

TEST(InitialWeights, AreAFunctionOfSeedNameAndIndex) {
  const Parameter p{.layer = 2, .expert = 5, .block = "mlp.experts.", .module = "up_proj", .shape = {11, 6}};
  const std::string name = "model.layers.2.mlp.experts.5.up_proj.weight";
  const uint64_t stream = random_bits(7, hash_of(std::as_bytes(std::span(name))).low);
  const std::vector<float> all = initial(p, 0, 11);
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], 0.25f * random_normal(stream, i)) << i;
  std::vector<float> joined = initial(p, 0, 4);
  for (const float x : initial(p, 4, 7)) joined.push_back(x);
  EXPECT_EQ(joined, all);
  Parameter other = p;
  other.expert = 6;
  EXPECT_NE(initial(other, 0, 11), all);
  EXPECT_NE(initial(p, 0, 11, 8), all);
}

TEST(InitialWeights, AreNormal) {
  const Parameter p{.module = "lm_head", .shape = {500, 200}};
  const std::vector<float> values = initial(p, 0, 500);
  double sum = 0, squares = 0, fourth = 0;
  for (const double x : values) sum += x, squares += x * x, fourth += x * x * x * x;
  const double n = 1e5, variance = squares / n;
  EXPECT_LT(std::abs(sum / n), 5 * 0.25 / std::sqrt(n));
  EXPECT_LT(std::abs(variance / 0.0625 - 1), 5 * std::sqrt(2 / n));
  EXPECT_LT(std::abs(fourth / n / (variance * variance) - 3), 5 * std::sqrt(24 / n));  // a normal distribution's
}

TEST(InitialWeights, NormsAreOneAndBiasesZero) {
  for (const auto& [family, config] : sample_configs())
    for_each_parameter(config, 1, [](const Parameter& p, int64_t) {
      const std::vector<float> values = initial(p, 0, p.shape[0]);
      const auto all = [&](float x) { return std::ranges::count(values, x) == std::ssize(values); };
      const bool is_norm = p.name().find("norm") != std::string::npos;
      const bool is_bias = p.name().ends_with("bias");
      EXPECT_EQ(all(1), is_norm) << p.name();
      EXPECT_EQ(all(0), is_bias) << p.name();
    });
}

}  // namespace
}  // namespace switchyard::test
