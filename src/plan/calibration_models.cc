#include "plan/calibration_models.h"

#include <algorithm>
#include <cmath>

namespace switchyard {
namespace {

constexpr int64_t kVocabulary = 16384, kPositions = 4096;

/// group: query heads of a key-value head, or fewer where these do not divide.
AttentionConfig heads(int64_t queries, int64_t group, int64_t head_dim) {
  while (queries % group != 0) --group;
  return AttentionConfig::of_heads(queries, queries / group, head_dim, 1e4);
}

AttentionConfig latent_heads(int64_t queries, int64_t hidden_size) {
  AttentionConfig a = heads(queries, 1, 96);
  a.value_dim = 64;
  a.scale = 1 / std::sqrt(96.0);
  a.projections = LatentProjections{.query_rank = hidden_size / 2, .kv_rank = hidden_size / 4};
  a.rotary.dim = 32;
  a.rotary.first = 64;
  a.rotary.pairs = RotaryPairs::adjacent;
  return a;
}

}  // namespace

ModelConfig calibration_model(int64_t hidden_size, int num_experts) {
  const int64_t d = hidden_size;
  MoeConfig narrow;
  narrow.router = {.num_experts = num_experts, .experts_per_token = std::min(num_experts, 4), .renormalise = true};
  narrow.expert_size = std::max<int64_t>(64, d / 4);
  MoeConfig wide = narrow;
  wide.router.bias = true;
  wide.expert_size = d;
  wide.biases = true;
  MoeConfig sigmoid = narrow;
  sigmoid.router.scores = RouterScores::sigmoid;
  sigmoid.router.selection_bias = true;
  sigmoid.shared_size = std::max<int64_t>(64, d / 2);

  AttentionConfig normed = heads(2 * d / 128, 8, 128), windowed = heads(d / 64, 4, 64);
  normed.qk_norm = QkNorm::before_rotary;
  windowed.input_bias = windowed.output_bias = windowed.sinks = true;
  windowed.span = {KeySpan::Kind::window, 128};
  ModelConfig c{.family = "calibration",
                .vocab_size = kVocabulary,
                .hidden_size = d,
                .rms_norm_eps = 1e-6,
                .max_positions = kPositions};
  c.layers = {{normed, narrow}, {windowed, wide}, {latent_heads(d / 64, d), sigmoid}, {normed, DenseConfig{3 * d}}};
  return c;
}

}  // namespace switchyard
