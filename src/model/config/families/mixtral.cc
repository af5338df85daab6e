// Mixtral: softmax router, always renormalised; experts w1 (gate), w3 (up), w2 (down) under block_sparse_moe.
#include "model/config/families/shared_fields.h"
#include "model/config/family.h"

namespace switchyard::families {
namespace {

ModelConfig read(ConfigReader& reader) {
  ModelConfig c = read_sizes(reader);
  AttentionConfig attention = read_heads(reader, c.hidden_size);
  attention.rotary = read_rotary(reader, c, attention.head_dim);
  attention.span = read_window_if_used(reader, c, true);
  MoeConfig moe{.router = read_router(reader)};
  moe.router.renormalise = true;
  moe.expert_size = reader.integer({"intermediate_size"}, 1, 1 << 20);
  for (LayerConfig& layer : c.layers) layer = {attention, moe};
  only_full_attention(reader);
  reader.only("norm_topk_prob", true);
  reader.only("use_qk_norm", false);
  return c;
}

constexpr Spelling kSpellings[] = {
    {"mlp.", "block_sparse_moe."}, {"gate_proj", "w1"}, {"up_proj", "w3"}, {"down_proj", "w2"}};

constexpr TensorLayout kLayouts[] = {
    {.spellings = kSpellings},
    // transformers 5 keeps the experts fused in memory; some tools save them so.
    {.experts = ExpertLayout::fused},
};

}  // namespace

extern const Family mixtral{"mixtral", read, kLayouts};

}  // namespace switchyard::families
