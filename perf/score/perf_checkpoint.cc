#include "perf_checkpoint.h"

#include <cstring>
#include <vector>

#include "base/hash.h"
#include "base/rng.h"
#include "io/file.h"
#include "io/input.h"
#include "io/safetensors.h"

namespace switchyard::bench {
namespace {

constexpr int64_t kDim = 1024, kLayers = 4, kHeads = 16, kKvHeads = 4, kHeadDim = 64, kExperts = 128, kFfn = 512,
                  kVocab = 32'000;

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
  std::vector<TensorSource> tensors;
  const auto matrix = [&](const std::string& name, int64_t out, int64_t in) {
    tensors.push_back(uniform(name, {out, in}, 0.035f));
  };
  const auto norm = [&](const std::string& name, int64_t length) {
    tensors.push_back(uniform(name, {length}, 0.1f, 1.0f));
  };
  matrix("model.embed_tokens.weight", kVocab, kDim);
  for (int64_t l = 0; l < kLayers; ++l) {
    const std::string layer = fmt::format("model.layers.{}.", l);
    norm(layer + "input_layernorm.weight", kDim);
    norm(layer + "post_attention_layernorm.weight", kDim);
    matrix(layer + "self_attn.q_proj.weight", kHeads * kHeadDim, kDim);
    matrix(layer + "self_attn.k_proj.weight", kKvHeads * kHeadDim, kDim);
    matrix(layer + "self_attn.v_proj.weight", kKvHeads * kHeadDim, kDim);
    matrix(layer + "self_attn.o_proj.weight", kDim, kHeads * kHeadDim);
    norm(layer + "self_attn.q_norm.weight", kHeadDim);
    norm(layer + "self_attn.k_norm.weight", kHeadDim);
    matrix(layer + "mlp.gate.weight", kExperts, kDim);
    for (int64_t e = 0; e < kExperts; ++e) {
      const std::string expert = fmt::format("{}mlp.experts.{}.", layer, e);
      matrix(expert + "gate_proj.weight", kFfn, kDim);
      matrix(expert + "up_proj.weight", kFfn, kDim);
      matrix(expert + "down_proj.weight", kDim, kFfn);
    }
  }
  norm("model.norm.weight", kDim);
  matrix("lm_head.weight", kVocab, kDim);
  write_safetensors(directory / "model.safetensors", tensors);
  write_file_atomically(directory / "config.json", kConfig);
}

void write_perf_input(const std::filesystem::path& path, int num_records) {
  ScoringInputWriter writer(path, false);
  std::vector<int32_t> tokens(1024);
  for (int r = 0; r < num_records; ++r) {
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = static_cast<int32_t>(random_bits(static_cast<uint64_t>(r), i) % static_cast<uint64_t>(kVocab));
    writer.add(tokens, 1, std::to_string(r), "");
  }
  writer.finish();
}

}  // namespace switchyard::bench
