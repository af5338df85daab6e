#include "model/config/families/sigmoid_experts.h"

#include "model/config/families/shared_fields.h"

namespace switchyard::families {
namespace {

RouterConfig read_sigmoid_router(ConfigReader& reader) {
  RouterConfig router = read_router(reader);
  router.selection_bias = true;
  router.scores = RouterScores::sigmoid;
  router.num_groups = reader.integer_or("n_group", 1, 1, 1 << 16);
  router.kept_groups = reader.integer_or("topk_group", 1, 1, 1 << 16);
  router.renormalise = reader.flag_or("norm_topk_prob", true);
  router.scale = reader.positive_number_or("routed_scaling_factor", 1);
  reader.only("scoring_func", "sigmoid");
  reader.only("topk_method", "noaux_tc");

  const bool divides = router.num_experts % router.num_groups == 0;
  reader.require({"n_routed_experts", "n_group"}, divides, "the first to be a multiple of the second");
  reader.require({"n_group", "topk_group"}, router.kept_groups <= router.num_groups,
                 "no more groups kept than there are");
  reader.require({"num_experts_per_tok", "n_routed_experts", "n_group", "topk_group"},
                 !divides || router.experts_per_token <= router.num_experts / router.num_groups * router.kept_groups,
                 "no more experts per token than there are in the groups kept");
  return router;
}

}  // namespace

void read_sigmoid_experts(ConfigReader& reader, ModelConfig& model) {
  MoeConfig moe{.router = read_sigmoid_router(reader)};
  moe.expert_size = reader.integer({"moe_intermediate_size"}, 1, 1 << 20);
  moe.shared_size = reader.integer_or("n_shared_experts", 0, 0, 1 << 10) * moe.expert_size;
  const int64_t num_dense = reader.integer_or("first_k_dense_replace", 0, 0, 1 << 20);
  const DenseConfig dense{reader.integer({"intermediate_size"}, 1, 1 << 22)};
  for (int64_t i = 0; i < model.num_layers(); ++i) {
    LayerConfig& layer = model.layers[static_cast<size_t>(i)];
    if (i < num_dense)
      layer.feed_forward = dense;
    else
      layer.feed_forward = moe;
  }
}

}  // namespace switchyard::families
