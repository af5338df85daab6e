// Our own reference family: softmax over the k largest logits, and a shared expert beside the chosen ones.
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
  moe.expert_size = reader.integer({"moe_intermediate_size"}, 1, 1 << 20);
  moe.shared_size = reader.integer({"num_shared_experts", "n_shared_experts"}, 0, 1 << 10) * moe.expert_size;
  for (LayerConfig& layer : c.layers) layer = {attention, moe};
  only_full_attention(reader);
  reader.only("shared_expert_intermediate_size", moe.shared_size);
  reader.only("norm_topk_prob", true);
  reader.only("use_qk_norm", false);
  return c;
}

constexpr TensorLayout kLayouts[] = {{}, {.experts = ExpertLayout::fused}};

}  // namespace

extern const Family switchyard{"switchyard", read, kLayouts};

}  // namespace switchyard::families
