#include "model/parameters.h"

namespace switchyard {
namespace {

template <class Owner, class Member>
Member* at(Owner* owner, Member Owner::*member) {
  return owner == nullptr ? nullptr : &(owner->*member);
}
template <class Owner, class Element>
Element* at(Owner* owner, std::vector<Element> Owner::*list, size_t i) {
  return owner == nullptr ? nullptr : &(owner->*list)[i];
}

/// Where a parameter is in the model.
struct Place {
  int64_t layer = -1, expert = -1;
  std::string_view block = {};
};

class Walk {
 public:
  Walk(const ModelConfig& config, std::span<const int> experts, ModelWeights* weights,
       const std::function<void(const StoredTensor&)>& visit)
      : c_(config), d_(config.hidden_size), experts_(experts), weights_(weights), visit_(visit) {}

  void run() {
    const std::string_view embed = "model.embed_tokens.weight", head = c_.tied_embeddings ? embed : "lm_head.weight";
    visit_({.parts = {{{.leaf = embed, .shape = {c_.vocab_size, d_}}}}, .tensor = at(weights_, &ModelWeights::embed)});
    visit_({.parts = {{{.leaf = head, .shape = {c_.vocab_size, d_}}}},
            .packed = true,
            .tied = c_.tied_embeddings,
            .matrix = at(weights_, &ModelWeights::head)});
    norm({}, "model.norm.weight", d_, at(weights_, &ModelWeights::norm));
    for (size_t i = 0; i < c_.layers.size(); ++i)
      layer(static_cast<int64_t>(i), c_.layers[i], at(weights_, &ModelWeights::layers, i));
  }

 private:
  void layer(int64_t index, const LayerConfig& c, LayerWeights* w) {
    attention(index, c.attention, at(w, &LayerWeights::attention));
    norm({index}, "post_attention_layernorm.weight", d_, at(w, &LayerWeights::ffn_norm));
    if (const MoeConfig* moe = c.moe())
      experts(index, *moe, w);
    else
      ffn({index, -1, "mlp."}, c.dense()->size, at(w, &LayerWeights::dense, 0));
  }

  void attention(int64_t layer, const AttentionConfig& c, AttentionWeights* w) {
    const Place block{layer, -1, "self_attn."};
    norm({layer}, "input_layernorm.weight", d_, at(w, &AttentionWeights::norm));
    matrix(block, "q_proj.weight", {c.query_size(), d_}, at(w, &AttentionWeights::q));
    matrix(block, "k_proj.weight", {c.kv_size(), d_}, at(w, &AttentionWeights::k));
    matrix(block, "v_proj.weight", {c.kv_size(), d_}, at(w, &AttentionWeights::v));
    matrix(block, "o_proj.weight", {d_, c.query_size()}, at(w, &AttentionWeights::o));
    if (!c.qk_norm) return;
    norm(block, "q_norm.weight", c.head_dim, at(w, &AttentionWeights::q_norm));
    norm(block, "k_norm.weight", c.head_dim, at(w, &AttentionWeights::k_norm));
  }

  void experts(int64_t layer, const MoeConfig& c, LayerWeights* w) {
    visit_({.parts = {{parameter({layer, -1, "mlp."}, "gate.weight", {c.router.num_experts, d_})}},
            .packed = true,
            .f32 = true,
            .matrix = at(w, &LayerWeights::router)});
    for (size_t i = 0; i < experts_.size(); ++i)
      ffn({layer, experts_[i], "mlp.experts."}, c.expert_size, at(w, &LayerWeights::experts, i));
    if (c.shared_size > 0) ffn({layer, -1, "mlp.shared_expert."}, c.shared_size, at(w, &LayerWeights::shared, 0));
  }

  void ffn(const Place& place, int64_t f, FfnWeights* w) {
    visit_({.parts = {parameter(place, "gate_proj.weight", {f, d_}), parameter(place, "up_proj.weight", {f, d_})},
            .num_parts = 2,
            .packed = true,
            .order = RowOrder::gate_up,
            .matrix = at(w, &FfnWeights::gate_up)});
    matrix(place, "down_proj.weight", {d_, f}, at(w, &FfnWeights::down));
  }

  void matrix(const Place& place, std::string_view leaf, const Shape& shape, PackedMatrix* w) {
    visit_({.parts = {{parameter(place, leaf, shape)}}, .packed = true, .matrix = w});
  }
  void norm(const Place& place, std::string_view leaf, int64_t length, OwnedTensor* w) {
    Parameter p = parameter(place, leaf, {length});
    p.around_one = true;
    visit_({.parts = {{p}}, .f32 = true, .tensor = w});
  }

  static Parameter parameter(const Place& place, std::string_view leaf, const Shape& shape) {
    return {place.layer, place.expert, place.block, leaf, shape};
  }

  const ModelConfig& c_;
  const int64_t d_;
  const std::span<const int> experts_;
  ModelWeights* const weights_;
  const std::function<void(const StoredTensor&)>& visit_;
};

}  // namespace

std::string Parameter::block_name() const {
  std::string name;
  if (layer >= 0) name.append("model.layers.").append(std::to_string(layer)).append(".").append(block);
  return name;
}

std::string Parameter::name() const {
  std::string name = block_name();
  if (expert >= 0) name.append(std::to_string(expert)).append(".");
  return name.append(leaf);
}

Shape StoredTensor::shape() const {
  if (num_parts == 1) return parts[0].shape;
  int64_t rows = 0;
  for (const Parameter& p : parameters()) rows += p.shape[0];
  return {rows, parts[0].shape[1]};
}

PackedMatrix StoredTensor::matrix_of_shape(DType operand, Device device) const {
  const Shape all = shape();
  return PackedMatrix::of_shape(all[0], all[1], dtype(operand), order, device);
}

size_t StoredTensor::bytes(DType operand, Device device) const {
  return packed ? matrix_of_shape(operand, device).bytes() : allocation_bytes(shape(), dtype(operand), device);
}

void for_each_tensor(const ModelConfig& config, std::span<const int> experts, ModelWeights* weights,
                     const std::function<void(const StoredTensor&)>& visit) {
  Walk(config, experts, weights, visit).run();
}

}  // namespace switchyard
