// Mixtral: softmax router, always renormalised; experts w1 (gate), w3 (up), w2 (down) under block_sparse_moe.
#include "model/family.h"

namespace switchyard::families {
namespace {

ModelConfig read(ConfigReader& reader) {
  ModelConfig c = read_common_fields(reader);
  MoeConfig moe{.router = read_router(reader)};
  moe.router.renormalise = true;
  moe.expert_size = reader.integer({"intermediate_size"}, 1, 1 << 20);
  for (LayerConfig& layer : c.layers) layer.feed_forward = moe;
  reader.only_full_window(c.max_positions, true);
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
