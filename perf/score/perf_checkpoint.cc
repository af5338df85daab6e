#include "perf_checkpoint.h"

#include <cstring>
#include <numeric>
#include <vector>

#include "base/hash.h"
#include "base/rng.h"
#include "io/file.h"
#include "io/input.h"
#include "io/safetensors_writer.h"
#include "model/parameters.h"

namespace switchyard::bench {
namespace {

constexpr int64_t kVocab = 32'000;

constexpr std::string_view kConfig = R"({
  "model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "dtype": "bfloat16",
  "hidden_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 64,
  "num_experts": 128, "num_experts_per_tok": 4, "moe_intermediate_size": 512, "intermediate_size": 2048,
  "norm_topk_prob": true, "decoder_sparse_step": 1, "mlp_only_layers": [], "vocab_size": 32000,
  "max_position_embeddings": 4096, "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "rope_scaling": null,
  "hidden_act": "silu", "attention_bias": false, "tie_word_embeddings": false, "use_sliding_window": false
}
)";

/// Uniform in ±scale; the seed is the name's hash, so that a tensor's values do not depend on the others.
TensorSource uniform(std::string name, std::vector<int64_t> shape, float scale, float offset = 0) {
  const uint64_t seed = hash_of(std::as_bytes(std::span(name))).low;
  return {std::move(name), DType::bf16, std::move(shape), [=](std::span<std::byte> out) {
            for (size_t i = 0; i < out.size() / 2; ++i) {
              const BFloat16 value = to_bfloat16(offset + scale * (2 * random_uniform(seed, i) - 1));
              std::memcpy(out.data() + 2 * i, &value, 2);
            }
          }};
}

}  // namespace

void write_perf_checkpoint(const std::filesystem::path& directory) {
  make_directories(directory);
  const ModelConfig config = parse_model_config(parse_json(std::string(kConfig), "config.json"), "config.json");
  std::vector<int> experts(static_cast<size_t>(config.num_experts()));
  std::iota(experts.begin(), experts.end(), 0);
  std::vector<TensorSource> tensors;
  for_each_tensor(config, experts, nullptr, [&](const StoredTensor& stored) {
    for (const Parameter& p : stored.parameters()) {
      std::vector<int64_t> shape;
      for (int axis = 0; axis < p.shape.rank(); ++axis) shape.push_back(p.shape[axis]);
      tensors.push_back(p.around_one ? uniform(p.name(), shape, 0.1f, 1.0f) : uniform(p.name(), shape, 0.035f));
    }
  });
  write_safetensors(directory / "model.safetensors", tensors);
  write_file_atomically(directory / "config.json", kConfig);
}

void write_perf_input(const std::filesystem::path& path, int num_records) {
  ScoringInputWriter writer(path);
  std::vector<int32_t> tokens(1024);
  for (int r = 0; r < num_records; ++r) {
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = static_cast<int32_t>(random_bits(static_cast<uint64_t>(r), i) % static_cast<uint64_t>(kVocab));
    writer.add(tokens, 1, std::to_string(r), "");
  }
  writer.finish();
}

}  // namespace switchyard::bench
