// What load_model packs is what a visitor gets, once, as f32.
#include "model/checkpoint/parameter_reader.h"

#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "model/checkpoint/loader.h"
#include "model/checkpoint/model_hash.h"
#include "tests/support/fixture_models.h"

namespace switchyard::test {
namespace {

struct Read {
  std::map<std::string, std::vector<float>> values;  ///< by the tensor's first parameter
  int times_tied = 0;
  PartsRead parts;
};

Read read(const TensorTable& table, std::span<const int> experts, DType operand, int threads) {
  ThreadPool pool(threads);
  Read read;
  std::mutex mutex;
  read.parts = read_parameters({Device::cpu, &pool, {}}, table, operand, experts, nullptr,
                               [&](const StoredTensor& tensor, ConstView values) {
                                 const std::lock_guard lock(mutex);
                                 EXPECT_EQ(values.shape, tensor.shape());
                                 EXPECT_EQ(values.dtype, DType::f32);
                                 const auto* first = values.as<float>();
                                 const std::vector<float> copy(first, first + values.elements());
                                 const auto [at, is_new] = read.values.try_emplace(tensor.parts[0].name(), copy);
                                 EXPECT_EQ(is_new, !tensor.tied) << at->first;
                                 read.times_tied += tensor.tied;
                                 EXPECT_EQ(at->second, copy);
                               });
  return read;
}

class ParameterReaderOf : public ::testing::TestWithParam<std::string> {};

TEST_P(ParameterReaderOf, VisitsEveryTensorOnceAndHashesWhatTheLoaderDoes) {
  const ModelConfig config = read_model_config(model_path(GetParam()));
  const Checkpoint checkpoint(model_path(GetParam()));
  const TensorTable table(checkpoint, config, "a model");
  const ExpertPlacement placement = ExpertPlacement::blocks(config.num_experts(), 2);
  for (int rank = 0; rank < 2; ++rank) {
    ThreadPool pool(2);
    const LoadedModel loaded = load_model({Device::cpu, &pool, {}}, table, DType::bf16, placement, rank);
    const Read got = read(table, placement.experts_of(rank), DType::bf16, 3);
    size_t tensors = 0;
    for_each_tensor(config, placement.experts_of(rank), nullptr, [&](const StoredTensor& t) { tensors += !t.tied; });
    EXPECT_EQ(got.values.size(), tensors);
    EXPECT_EQ(got.times_tied, config.tied_embeddings);
    EXPECT_EQ(combine_hashes(got.parts.hashes), combine_hashes(loaded.hashes));
    EXPECT_EQ(got.parts.bytes, loaded.bytes_read);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, ParameterReaderOf, ::testing::ValuesIn(all_models()),
                         [](const auto& each) { return test_name(each.param); });

/// gpt-oss stores [in, out] with gate's and up's outputs by turns.
TEST(ParameterReader, TurnsWhatIsStoredTurned) {
  const ModelConfig config = read_model_config(model_path("gptoss"));
  const Checkpoint checkpoint(model_path("gptoss"));
  const TensorTable table(checkpoint, config, "a model");
  const int expert = 5;
  const Read got = read(table, {&expert, 1}, DType::f32, 1);
  const std::vector<float>& gate_up = got.values.at("model.layers.1.mlp.experts.5.gate_proj.weight");
  const int64_t f = config.moe().expert_size, d = config.hidden_size;
  ASSERT_EQ(std::ssize(gate_up), 2 * f * d);

  const TensorInfo* stored = checkpoint.find("model.layers.1.mlp.experts.gate_up_proj");
  std::vector<BFloat16> numbers(static_cast<size_t>(config.num_experts() * 2 * f * d));
  checkpoint.read(*stored, 0, std::as_writable_bytes(std::span(numbers)));
  for (int64_t out = 0; out < 2 * f; ++out)
    for (int64_t in = 0; in < d; ++in) {
      const int64_t place = out < f ? 2 * out : 2 * (out - f) + 1;
      EXPECT_EQ(gate_up[static_cast<size_t>(out * d + in)],
                to_float(numbers[static_cast<size_t>((expert * d + in) * 2 * f + place)]));
    }
}

}  // namespace
}  // namespace switchyard::test
