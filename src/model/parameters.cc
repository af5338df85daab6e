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

constexpr std::string_view kWeight = ".weight", kBias = ".bias";

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
    const std::string_view embed = "model.embed_tokens", head = c_.tied_embeddings ? embed : "lm_head";
    visit_(
        {.parts = {{{.module = embed, .shape = {c_.vocab_size, d_}}}}, .tensor = at(weights_, &ModelWeights::embed)});
    visit_({.parts = {{{.module = head, .shape = {c_.vocab_size, d_}}}},
            .packed = true,
            .tied = c_.tied_embeddings,
            .matrix = at(weights_, &ModelWeights::head)});
    norm({}, "model.norm", d_, at(weights_, &ModelWeights::norm));
    for (size_t i = 0; i < c_.layers.size(); ++i)
      layer(static_cast<int64_t>(i), c_.layers[i], at(weights_, &ModelWeights::layers, i));
  }

 private:
  void layer(int64_t index, const LayerConfig& c, LayerWeights* w) {
    attention(index, c.attention, at(w, &LayerWeights::attention));
    norm({index}, "post_attention_layernorm", d_, at(w, &LayerWeights::ffn_norm));
    if (const MoeConfig* moe = c.moe())
      experts(index, *moe, w);
    else
      ffn({index, -1, "mlp."}, c.dense()->size, false, at(w, &LayerWeights::dense, 0));
  }

  void attention(int64_t layer, const AttentionConfig& c, AttentionWeights* w) {
    const Place block{layer, -1, "self_attn."};
    norm({layer}, "input_layernorm", d_, at(w, &AttentionWeights::norm));
    if (c.latent() != nullptr)
      latent_projections(block, c, w);
    else
      direct_projections(block, c, w);
    linear(block, "o_proj", {d_, c.output_size()}, c.output_bias, at(w, &AttentionWeights::o));
    if (c.qk_norm == QkNorm::before_rotary) {
      norm(block, "q_norm", c.head_dim, at(w, &AttentionWeights::q_norm));
      norm(block, "k_norm", c.head_dim, at(w, &AttentionWeights::k_norm));
    }
    if (c.sinks) vector(block, "sinks", "", c.num_heads, at(w, &AttentionWeights::sinks));
  }

  void direct_projections(const Place& block, const AttentionConfig& c, AttentionWeights* w) {
    linear(block, "q_proj", {c.query_size(), d_}, c.input_bias, at(w, &AttentionWeights::q));
    linear(block, "k_proj", {c.key_size(), d_}, c.input_bias, at(w, &AttentionWeights::k));
    linear(block, "v_proj", {c.value_size(), d_}, c.input_bias, at(w, &AttentionWeights::v));
  }

  void latent_projections(const Place& block, const AttentionConfig& c, AttentionWeights* w) {
    const auto [query_rank, kv_rank] = *c.latent();
    if (query_rank > 0) {
      linear(block, "q_a_proj", {query_rank, d_}, c.input_bias, at(w, &AttentionWeights::q_latent));
      norm(block, "q_a_layernorm", query_rank, at(w, &AttentionWeights::q_latent_norm));
      linear(block, "q_b_proj", {c.query_size(), query_rank}, false, at(w, &AttentionWeights::q));
    } else {
      linear(block, "q_proj", {c.query_size(), d_}, false, at(w, &AttentionWeights::q));
    }
    linear(block, "kv_a_proj_with_mqa", {kv_rank + c.rotary.dim, d_}, c.input_bias,
           at(w, &AttentionWeights::kv_latent));
    norm(block, "kv_a_layernorm", kv_rank, at(w, &AttentionWeights::kv_latent_norm));
    matrix(block, "kv_b_proj", {c.num_heads * (c.rotary.first + c.value_dim), kv_rank}, at(w, &AttentionWeights::kv));
  }

  void experts(int64_t layer, const MoeConfig& c, LayerWeights* w) {
    const Place block{layer, -1, "mlp."};
    const int64_t num_experts = c.router.num_experts;
    Linear* router = at(w, &LayerWeights::router);
    visit_({.parts = {{parameter(block, "gate", {num_experts, d_})}},
            .packed = true,
            .f32 = true,
            .matrix = at(router, &Linear::weight)});
    if (c.router.bias) vector(block, "gate", kBias, num_experts, at(router, &Linear::bias));
    if (c.router.selection_bias)
      vector(block, "gate", Parameter::kSelectionBias, num_experts, at(w, &LayerWeights::selection_bias));
    for (size_t i = 0; i < experts_.size(); ++i)
      ffn({layer, experts_[i], "mlp.experts."}, c.expert_size, c.biases, at(w, &LayerWeights::experts, i));
    if (c.shared_size > 0)
      ffn({layer, -1, "mlp.shared_expert."}, c.shared_size, false, at(w, &LayerWeights::shared, 0));
  }

  void ffn(const Place& place, int64_t f, bool biases, FfnWeights* w) {
    visit_({.parts = {parameter(place, "gate_proj", {f, d_}), parameter(place, "up_proj", {f, d_})},
            .num_parts = 2,
            .packed = true,
            .order = RowOrder::gate_up,
            .matrix = at(w, &FfnWeights::gate_up)});
    matrix(place, "down_proj", {d_, f}, at(w, &FfnWeights::down));
    if (!biases) return;
    visit_({.parts = {parameter(place, "gate_proj", {f}, kBias), parameter(place, "up_proj", {f}, kBias)},
            .num_parts = 2,
            .f32 = true,
            .tensor = at(w, &FfnWeights::gate_up_bias)});
    vector(place, "down_proj", kBias, d_, at(w, &FfnWeights::down_bias));
  }

  void linear(const Place& place, std::string_view module, const Shape& shape, bool bias, Linear* w) {
    matrix(place, module, shape, at(w, &Linear::weight));
    if (bias) vector(place, module, kBias, shape[0], at(w, &Linear::bias));
  }
  void matrix(const Place& place, std::string_view module, const Shape& shape, PackedMatrix* w) {
    visit_({.parts = {{parameter(place, module, shape)}}, .packed = true, .matrix = w});
  }
  void vector(const Place& place, std::string_view module, std::string_view kind, int64_t length, OwnedTensor* w) {
    visit_({.parts = {{parameter(place, module, {length}, kind)}}, .f32 = true, .tensor = w});
  }
  void norm(const Place& place, std::string_view module, int64_t length, OwnedTensor* w) {
    Parameter p = parameter(place, module, {length});
    p.around_one = true;
    visit_({.parts = {{p}}, .f32 = true, .tensor = w});
  }

  static Parameter parameter(const Place& place, std::string_view module, const Shape& shape,
                             std::string_view kind = kWeight) {
    return {place.layer, place.expert, place.block, module, kind, shape};
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
  return name.append(module).append(kind);
}

Shape StoredTensor::shape() const {
  if (num_parts == 1) return parts[0].shape;
  int64_t rows = 0;
  for (const Parameter& p : parameters()) rows += p.shape[0];
  return parts[0].shape.rank() == 1 ? Shape{rows} : Shape{rows, parts[0].shape[1]};
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
