#include "model/random_model.h"

#include <functional>
#include <memory>

#include "base/device.h"
#include "base/hash.h"
#include "kernels/rows/random_fill.h"

namespace switchyard {
namespace {

constexpr float kMatrixScale = 0.035f, kNormScale = 0.1f;

uint64_t seed_of(const std::string& name) {
  return hash_of(std::as_bytes(std::span(name))).low;
}

/// Makes one tensor after the other, in one scratch tensor.
class Maker {
 public:
  /// On the stream's device; on the CPU by the calling thread alone.
  Maker(const Stream& stream, DType operand)
      : alone_(std::make_unique<ThreadPool>(1)), stream_(stream), operand_(operand) {
    stream_.pool = alone_.get();
    stream_.poll = {};
  }

  OwnedTensor norm(const std::string& name, int64_t length) {
    OwnedTensor tensor({length}, DType::f32, stream_.device);
    random_fill(stream_, seed_of(name), 0, kNormScale, 1, tensor.view());
    return tensor;
  }
  OwnedTensor table(const std::string& name, int64_t rows, int64_t columns) {
    OwnedTensor tensor({rows, columns}, operand_, stream_.device);
    random_fill(stream_, seed_of(name), 0, kMatrixScale, 0, tensor.view());
    return tensor;
  }
  PackedMatrix matrix(const std::string& name, int64_t n, int64_t k, DType operand) {
    return PackedMatrix::pack(stream_, filled({&name, 1}, n, k), operand);
  }
  PackedMatrix matrix(const std::string& name, int64_t n, int64_t k) { return matrix(name, n, k, operand_); }
  /// prefix: up to the projection's name.
  FfnWeights ffn(const std::string& prefix, int64_t f, int64_t d) {
    const std::string gate_up[] = {prefix + "gate_proj.weight", prefix + "up_proj.weight"};
    return {PackedMatrix::pack(stream_, filled(gate_up, f, d), operand_, RowOrder::gate_up),
            matrix(prefix + "down_proj.weight", d, f)};
  }

 private:
  /// The matrices [n, k] of these names, one below the other; valid until the next ones are made.
  ConstView filled(std::span<const std::string> names, int64_t n, int64_t k) {
    const int64_t rows = n * std::ssize(names);
    if (scratch_.view().elements() < rows * k) {
      synchronize(stream_);  // the last one may still be read
      scratch_ = OwnedTensor();
      scratch_ = OwnedTensor({rows * k}, DType::f32, stream_.device);
    }
    const View all = scratch_.view().slice(0, rows * k).reshaped({rows, k});
    for (size_t i = 0; i < names.size(); ++i)
      random_fill(stream_, seed_of(names[i]), 0, kMatrixScale, 0, all.slice(static_cast<int64_t>(i) * n, n));
    return all;
  }

  std::unique_ptr<ThreadPool> alone_;
  Stream stream_;
  DType operand_;
  OwnedTensor scratch_;
};

/// Everything to be made, as tasks that do not depend on each other.
class Plan {
 public:
  using Task = std::function<void(Maker&)>;

  Plan(ModelWeights& weights, const ExpertPlacement& placement, int rank) : placement_(placement), rank_(rank) {
    const ModelConfig& c = weights.config;
    const std::string embed = "model.embed_tokens.weight", head = c.tied_embeddings ? embed : "lm_head.weight";
    add([&w = weights, embed](Maker& m) { w.embed = m.table(embed, w.config.vocab_size, w.config.hidden_size); });
    add([&w = weights, head](Maker& m) { w.head = m.matrix(head, w.config.vocab_size, w.config.hidden_size); });
    add([&w = weights](Maker& m) { w.norm = m.norm("model.norm.weight", w.config.hidden_size); });
    weights.layers.resize(static_cast<size_t>(c.num_layers));
    for (size_t i = 0; i < weights.layers.size(); ++i) {
      const std::string name = fmt::format("model.layers.{}.", i);
      add_attention(c, name, weights.layers[i]);
      add_ffns(c, name + "mlp.", c.moe_layer[i], weights.layers[i]);
    }
  }
  const std::vector<Task>& tasks() const { return tasks_; }

 private:
  void add(Task task) { tasks_.push_back(std::move(task)); }

  void add_attention(const ModelConfig& c, const std::string& layer, LayerWeights& w) {
    const int64_t d = c.hidden_size, q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
    const std::string name = layer + "self_attn.";
    add([&w, &c, layer, name, d](Maker& m) {
      w.attention.norm = m.norm(layer + "input_layernorm.weight", d);
      w.ffn_norm = m.norm(layer + "post_attention_layernorm.weight", d);
      if (!c.qk_norm) return;
      w.attention.q_norm = m.norm(name + "q_norm.weight", c.head_dim);
      w.attention.k_norm = m.norm(name + "k_norm.weight", c.head_dim);
    });
    add([&a = w.attention, name, d, q](Maker& m) { a.q = m.matrix(name + "q_proj.weight", q, d); });
    add([&a = w.attention, name, d, kv](Maker& m) { a.k = m.matrix(name + "k_proj.weight", kv, d); });
    add([&a = w.attention, name, d, kv](Maker& m) { a.v = m.matrix(name + "v_proj.weight", kv, d); });
    add([&a = w.attention, name, d, q](Maker& m) { a.o = m.matrix(name + "o_proj.weight", d, q); });
  }

  void add_ffns(const ModelConfig& c, const std::string& name, bool moe, LayerWeights& w) {
    if (!moe) return add_ffn(name, c.dense_ffn_size, c.hidden_size, w.dense.emplace_back());
    add([&w, &c, name](Maker& m) {
      w.router = m.matrix(name + "gate.weight", c.num_experts, c.hidden_size, DType::f32);
    });
    const std::span<const int> experts = placement_.experts_of(rank_);
    w.experts.resize(experts.size());
    for (size_t i = 0; i < experts.size(); ++i)
      add_ffn(fmt::format("{}experts.{}.", name, experts[i]), c.expert_ffn_size, c.hidden_size, w.experts[i]);
    if (c.shared_ffn_size > 0)
      add_ffn(name + "shared_expert.", c.shared_ffn_size, c.hidden_size, w.shared.emplace_back());
  }

  void add_ffn(const std::string& prefix, int64_t f, int64_t d, FfnWeights& w) {
    add([&w, prefix, f, d](Maker& m) { w = m.ffn(prefix, f, d); });
  }

  const ExpertPlacement& placement_;
  int rank_;
  std::vector<Task> tasks_;
};

}  // namespace

LoadedModel random_model(const Stream& stream, const ModelConfig& config, DType operand,
                         const ExpertPlacement& placement, int rank) {
  LoadedModel model;
  model.weights.config = config;
  model.weights.operand = operand;
  const Plan plan(model.weights, placement, rank);
  if (stream.device == Device::cuda) {
    use_device(stream.device_index);
    Maker maker(stream, operand);
    for (const Plan::Task& task : plan.tasks()) task(maker);
    synchronize(stream);  // before its scratch goes
    return model;
  }
  std::vector<Maker> makers;
  for (int i = 0; i < stream.pool->num_threads(); ++i) makers.emplace_back(stream, operand);
  stream.parallel_for(static_cast<int64_t>(plan.tasks().size()), [&](int64_t task, int worker) {
    plan.tasks()[static_cast<size_t>(task)](makers[static_cast<size_t>(worker)]);
  });
  return model;
}

}  // namespace switchyard
