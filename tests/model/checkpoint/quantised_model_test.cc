// Models whose weights are codes and scales score, bit for bit, as the same weights in F32, on any number of ranks.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <ostream>

#include "model/checkpoint/loader.h"
#include "model/checkpoint/model_hash.h"
#include "tests/model/scoring.h"
#include "tests/reference/weight_codes.h"
#include "tests/support/fixture_models.h"
#include "tests/support/raw_safetensors.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBlock = 16;  ///< of FP8, both ways: the fixtures' sizes are no multiples of it

/// A tensor [slices, rows, columns] as codes, and as the numbers that they are.
struct Coded {
  std::vector<RawTensor> codes, scales;
  std::vector<float> values;
};

int64_t slices_of(const TensorInfo& t) {
  return t.shape.size() == 3 ? t.shape[0] : 1;
}

/// The code whose value times the scale is nearest.
int nearest(double (*value_of)(int), int num_codes, float weight, float scale) {
  int best = 0;
  for (int code = 1; code < num_codes; ++code)
    if (std::abs(value_of(code) * scale - weight) < std::abs(value_of(best) * scale - weight)) best = code;
  return best;
}

Coded fp8(const TensorInfo& t, const std::vector<float>& weights) {
  const int64_t rows = t.shape[t.shape.size() - 2], columns = t.shape.back(), slices = slices_of(t);
  const int64_t down = (rows + kBlock - 1) / kBlock, across = (columns + kBlock - 1) / kBlock;
  const auto block_of = [&](int64_t i) {
    const int64_t slice = i / (rows * columns), row = i / columns % rows, column = i % columns;
    return static_cast<size_t>((slice * down + row / kBlock) * across + column / kBlock);
  };
  std::vector<float> scales(static_cast<size_t>(slices * down * across));
  for (int64_t i = 0; i < std::ssize(weights); ++i)
    scales[block_of(i)] = std::max(scales[block_of(i)], std::abs(weights[static_cast<size_t>(i)]) / 448);
  Coded coded;
  std::vector<uint8_t> codes;
  for (int64_t i = 0; i < std::ssize(weights); ++i) {
    const float scale = scales[block_of(i)];
    codes.push_back(static_cast<uint8_t>(nearest(reference::e4m3, 256, weights[static_cast<size_t>(i)], scale)));
    coded.values.push_back(reference::scaled(reference::e4m3(codes.back()), scale));
  }
  std::vector<int64_t> grid = t.shape;
  grid[grid.size() - 2] = down;
  grid.back() = across;
  coded.codes = {{t.name, "F8_E4M3", t.shape, raw_bytes(codes)}};
  coded.scales = {{t.name + "_scale_inv", "F32", grid, raw_bytes(scales)}};
  return coded;
}

Coded mxfp4(const TensorInfo& t, const std::vector<float>& weights) {
  Coded coded;
  std::vector<uint8_t> codes(weights.size() / 2), scales;
  for (size_t first = 0; first < weights.size(); first += 32) {
    const std::span<const float> block = std::span(weights).subspan(first, 32);
    const int exponent = std::ilogb(std::ranges::max(block, {}, [](float w) { return std::abs(w); })) - 2;
    scales.push_back(static_cast<uint8_t>(exponent + 127));
    for (size_t i = 0; i < 32; ++i) {
      const float scale = std::ldexp(1.0f, exponent);
      const int code = nearest(reference::e2m1, 16, block[i], scale);
      codes[(first + i) / 2] |= static_cast<uint8_t>(i % 2 == 0 ? code : code << 4);
      coded.values.push_back(reference::scaled(reference::e2m1(code), scale));
    }
  }
  std::vector<int64_t> shape = t.shape;
  shape.back() /= 32;
  coded.scales = {{t.name + "_scales", "U8", shape, raw_bytes(scales)}};
  shape.push_back(16);
  coded.codes = {{t.name + "_blocks", "U8", shape, raw_bytes(codes)}};
  return coded;
}

struct Case {
  const char *fixture, *method;
};
std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.fixture << " in " << c.method;
}

/// A fixture model whose projections are quantised, and one of the same values in F32.
class QuantisedModel : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const Checkpoint fixture(model_path(GetParam().fixture));
    std::vector<RawTensor> plain;
    for (const auto& [name, tensor] : fixture.tensors()) add(fixture, tensor, plain);
    EXPECT_GT(files_[1].size(), 3u) << "tensors that are quantised";
    write_raw_safetensors(coded_.path(), files_);
    write_raw_safetensors(plain_ / "model.safetensors", plain);
    const std::string config = bytes_of_file(model_path(GetParam().fixture) / "config.json");
    plain_.write("config.json", config);
    Json json = parse_json(config, "config.json");
    json["quantization_config"] = {{"quant_method", GetParam().method}};
    if (is_fp8()) json["quantization_config"]["weight_block_size"] = {kBlock, kBlock};
    coded_.write("config.json", json.dump());
  }

  bool is_fp8() const { return GetParam().method == std::string_view("fp8"); }

  void add(const Checkpoint& fixture, const TensorInfo& tensor, std::vector<RawTensor>& plain) {
    std::string bytes(tensor.bytes, '\0');
    fixture.read(tensor, 0, std::as_writable_bytes(std::span(bytes)));
    const bool is_projection = tensor.name.find("_proj") != std::string::npos;
    if (!is_projection || (!is_fp8() && tensor.shape.back() % 32 != 0)) {
      plain.push_back({tensor.name, tensor.dtype_name, tensor.shape, bytes});
      files_[0].push_back(plain.back());
      return;
    }
    const bool is_f32 = tensor.dtype_name == "F32";
    std::vector<float> weights(bytes.size() / (is_f32 ? 4 : 2));
    (is_f32 ? decode_f32 : decode_bf16)(std::as_bytes(std::span(bytes)), {}, weights);
    const Coded coded = is_fp8() ? fp8(tensor, weights) : mxfp4(tensor, weights);
    plain.push_back({tensor.name, "F32", tensor.shape, raw_bytes(coded.values)});
    files_[0].insert(files_[0].end(), coded.codes.begin(), coded.codes.end());
    files_[1].insert(files_[1].end(), coded.scales.begin(), coded.scales.end());
  }

  struct Loaded {
    Hash128 hash;
    uint64_t bytes_read = 0;
  };
  /// By that many ranks, one after the other.
  static Loaded load(const fs::path& model, int ranks) {
    const ModelConfig config = read_model_config(model);
    Loaded loaded;
    std::vector<PartHash> hashes;
    for (int rank = 0; rank < ranks; ++rank) {
      ThreadPool pool(2);
      const LoadedModel part = checkpoint_weights(model)({Device::cpu, &pool, {}}, config, DType::bf16,
                                                         ExpertPlacement::blocks(config.num_experts(), ranks), rank);
      hashes.insert(hashes.end(), part.hashes.begin(), part.hashes.end());
      loaded.bytes_read += part.bytes_read;
    }
    loaded.hash = combine_hashes(hashes);
    return loaded;
  }

  std::vector<std::vector<RawTensor>> files_{2};  ///< scales in the second
  TemporaryDirectory coded_, plain_;
};

TEST_P(QuantisedModel, ScoresAsTheSameWeightsInF32) {
  const std::vector<Record> input = read_records(reference_path(GetParam().fixture) / "input.h5");
  for (const DType operand : {DType::f32, DType::bf16}) {
    const auto expected = score_records(plain_.path(), input, {.operand = operand});
    for (const int ranks : {1, 3})
      EXPECT_EQ(
          first_difference(score_records(coded_.path(), input, {.operand = operand, .num_ranks = ranks}), expected), "")
          << ranks << " ranks, " << name_of(operand);
  }
}

TEST_P(QuantisedModel, IsReadOnceAndEachRanksOwnExpertsAlone) {
  uint64_t experts = 0, dense = 0;
  for (const auto& file : files_)
    for (const RawTensor& tensor : file)
      (tensor.name.find(".experts.") != std::string::npos ? experts : dense) += tensor.bytes.size();
  for (const int ranks : {1, 3})
    EXPECT_EQ(load(coded_.path(), ranks).bytes_read, experts + static_cast<uint64_t>(ranks) * dense);
}

TEST_P(QuantisedModel, IsWhatItsBytesAre) {
  const Hash128 hash = load(coded_.path(), 1).hash;
  EXPECT_EQ(load(coded_.path(), 3).hash, hash);
  EXPECT_NE(load(plain_.path(), 1).hash, hash);
  std::string& scales = files_[1].back().bytes;
  scales[scales.size() - 1] = static_cast<char>(scales[scales.size() - 1] ^ 1);
  write_raw_safetensors(coded_.path(), files_);
  EXPECT_NE(load(coded_.path(), 1).hash, hash);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, QuantisedModel,
                         ::testing::Values(Case{"qwen3moe-dense", "fp8"}, Case{"qwen3moe-fused", "fp8"},
                                           Case{"qwen3moe-transposed", "fp8"}, Case{"qwen3moe-fused", "mxfp4"}),
                         [](const auto& each) {
                           return test_name(fmt::format("{}_{}", each.param.fixture, each.param.method));
                         });

}  // namespace
}  // namespace switchyard::test
