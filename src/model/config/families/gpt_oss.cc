// gpt-oss: attention with a window in some layers, sinks and biases; a router with a bias, always renormalised; experts
// with biases and a clamped activation, gate and up interleaved. transformers/models/gpt_oss.
#include <algorithm>

#include "model/config/families/shared_fields.h"
#include "model/config/family.h"

namespace switchyard::families {
namespace {

ModelConfig read(ConfigReader& reader) {
  reader.assume({{"head_dim", 64},
                 {"sliding_window", 128},
                 {"rope_theta", 150'000},
                 {"swiglu_alpha", 1.702},
                 {"swiglu_limit", 7}});
  ModelConfig c = read_sizes(reader);
  AttentionConfig attention = read_heads(reader, c.hidden_size);
  attention.input_bias = attention.output_bias = reader.flag_or("attention_bias", true);
  attention.sinks = true;
  attention.rotary = read_rotary(reader, c, attention.head_dim);
  if (!reader.has("rope_parameters") && !reader.has("rope_scaling"))
    attention.rotary.scaling = YarnScaling{.factor = 32, .original_positions = 4096, .truncate = false};
  const KeySpan window = read_window(reader, c);
  const auto types = read_layer_types(reader, c, {"sliding_attention", "full_attention"},
                                      [](int64_t i) { return i % 2 == 0 ? "sliding_attention" : "full_attention"; });

  MoeConfig moe{.router = read_router(reader), .biases = true};
  moe.router.bias = moe.router.renormalise = true;
  moe.expert_size = reader.integer({"intermediate_size"}, 1, 1 << 20);
  moe.activation = {.clamped = true,
                    .alpha = reader.positive_number("swiglu_alpha"),
                    .limit = reader.positive_number("swiglu_limit")};
  const bool any_slides = std::ranges::find(types, "sliding_attention") != types.end();
  if (any_slides && reader.is_null("sliding_window"))
    reader.refuse("sliding_window", "a window for the layers that slide", nullptr);
  for (size_t i = 0; i < c.layers.size(); ++i) {
    c.layers[i] = {attention, moe};
    if (types[i] == "sliding_attention") c.layers[i].attention.span = window;
  }
  return c;
}

constexpr Spelling kSpellings[] = {{"mlp.gate.", "mlp.router."}};

// down_proj is square in released models: which way round it lies cannot be seen.
constexpr TensorLayout kLayouts[] = {
    {.spellings = kSpellings,
     .experts = ExpertLayout::fused,
     .gate_up = GateUpOrder::interleaved,
     .stored_as = StoredAs::codes},
    {.spellings = kSpellings,
     .experts = ExpertLayout::fused_transposed,
     .gate_up = GateUpOrder::interleaved,
     .stored_as = StoredAs::numbers},
};

}  // namespace

extern const Family gpt_oss{"gpt_oss", read, kLayouts};

}  // namespace switchyard::families
