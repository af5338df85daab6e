// Every op at the shapes of qwen3-30b-a3b, 16 records of 1024 tokens.
#include <cmath>

#include "kernels/attention/attention.h"
#include "kernels/attention/prepare_heads.h"
#include "kernels/products/gemm.h"
#include "kernels/products/grouped_ffn.h"
#include "kernels/routing/group_by_expert.h"
#include "kernels/routing/permute.h"
#include "kernels/routing/router.h"
#include "kernels/rows/cast.h"
#include "kernels/rows/rms_norm.h"
#include "kernels/vocabulary/cross_entropy.h"
#include "kernels/vocabulary/embedding.h"
#include "measure.h"
#include "model/memory_plan.h"
#include "random_engine.h"

namespace switchyard::bench {
namespace {

constexpr int64_t kRecords = 16, kLength = 1024, kTokens = kRecords * kLength;

class Ops {
 public:
  Ops() : engine_(layer(), DType::bf16, {kTokens, kLength}) {}

  void run() {
    rows();
    projections();
    attention_and_heads();
    for (const int64_t tokens : {kTokens, int64_t{64}}) experts(tokens);
    vocabulary();
  }

 private:
  /// One layer and the whole vocabulary.
  static ModelConfig layer() {
    ModelConfig c = reference_config("qwen3-30b-a3b");
    c.layers.resize(1);
    return c;
  }
  static double f(int64_t x) { return static_cast<double>(x); }
  Bench& bench() { return engine_.bench(); }
  const Stream& stream() { return engine_.stream(); }
  OwnedTensor random(const Shape& shape, DType dtype = DType::f32) { return bench().random(shape, dtype, ++seed_, 1); }
  static OwnedTensor empty(const Shape& shape, DType dtype) { return OwnedTensor(shape, dtype, Device::cuda); }

  template <class Work>
  void bytes(const std::string& what, double amount, const Work& work) {
    bench().report_bytes("kernels", what, time_on_device(stream(), work), amount);
  }
  template <class Work>
  void flops(const std::string& what, double amount, const Work& work) {
    bench().report_flops("kernels", what, time_on_device(stream(), work), amount);
  }

  void rows() {
    const OwnedTensor x = random({kTokens, d_}), weight = random({d_});
    OwnedTensor rounded = empty({kTokens, d_}, DType::bf16), y = empty({kTokens, d_}, DType::f32);
    bytes("rms_norm [16384, 2048] to bf16", f(kTokens * d_) * 6,
          [&] { rms_norm(stream(), x.view(), weight.view(), 1e-6f, rounded.view()); });
    bytes("rms_norm [16384, 2048] to f32 and bf16", f(kTokens * d_) * 10,
          [&] { rms_norm_rounded(stream(), x.view(), weight.view(), 1e-6f, y.view(), rounded.view()); });
    bytes("cast [16384, 2048] to bf16", f(kTokens * d_) * 6, [&] { cast(stream(), x.view(), rounded.view()); });
    const Batch batch = random_batch(c_, kRecords, kLength);
    OwnedTensor ids = empty({kTokens}, DType::i32);
    copy(stream(), view_of<int32_t>(batch.ids), ids.view());
    bytes("embedding [16384, 2048]", f(kTokens * d_) * 6,
          [&] { embedding(stream(), ids.view(), engine_.weights().embed.view(), y.view()); });
  }

  void projections() {
    const AttentionWeights& w = engine_.weights().layers[0].attention;
    const OwnedTensor x = random({kTokens, d_}, DType::bf16), wide = random({kTokens, q_}, DType::bf16);
    OwnedTensor y = empty({kTokens, q_}, DType::f32), narrow = empty({kTokens, kv_}, DType::f32),
                sum = random({kTokens, d_});
    const auto product = [](int64_t n, int64_t k) { return 2 * f(kTokens) * f(n) * f(k); };
    flops("gemm q [16384, 2048] [4096, 2048]^T", product(q_, d_),
          [&] { gemm(stream(), x.view(), w.q.weight, GemmOutput::store, y.view()); });
    flops("gemm k [16384, 2048] [512, 2048]^T", product(kv_, d_),
          [&] { gemm(stream(), x.view(), w.k.weight, GemmOutput::store, narrow.view()); });
    flops("gemm o, added [16384, 4096] [2048, 4096]^T", product(d_, q_),
          [&] { gemm(stream(), wide.view(), w.o.weight, GemmOutput::add, sum.view()); });
  }

  void attention_and_heads() {
    const Shape heads{kTokens, a_.num_heads, a_.head_dim}, kv_heads{kTokens, a_.num_kv_heads, a_.head_dim};
    const OwnedTensor product = random(heads), cos_sin = random({kLength, a_.head_dim}), weight = random({a_.head_dim});
    const OwnedTensor k = random(kv_heads, DType::bf16), v = random(kv_heads, DType::bf16);
    OwnedTensor q = empty(heads, DType::bf16), out = empty(heads, DType::bf16),
                positions = empty({kTokens}, DType::i32), offsets = empty({kRecords + 1}, DType::i64);
    const Batch batch = random_batch(c_, kRecords, kLength);
    copy(stream(), view_of<int32_t>(batch.positions), positions.view());
    copy(stream(), view_of<int64_t>(batch.record_offsets), offsets.view());
    const auto scale = static_cast<float>(1 / std::sqrt(f(a_.head_dim)));
    const HeadSteps steps{.norm = QkNorm::before_rotary,
                          .norm_weight = weight.view(),
                          .eps = 1e-6f,
                          .cos_sin = cos_sin.view(),
                          .factor = attention_factor(scale)};
    bytes("prepare_heads: q's norm, rotary embedding and factor, to bf16", f(kTokens * q_) * 6,
          [&] { prepare_heads(stream(), product.view(), positions.view(), steps, q.view()); });
    flops("attention, 16 records of 1024", 4 * f(q_) * f(kTokens) * f(kLength + 1) / 2,
          [&] { attention(stream(), q.view(), k.view(), v.view(), offsets.view(), {}, {}, scale, {}, out.view()); });
  }

  void experts(int64_t tokens) {
    const LayerWeights& w = engine_.weights().layers[0];
    const int64_t k = c_.experts_per_token(), experts = c_.num_experts(), pairs = tokens * k;
    const OwnedTensor u = random({tokens, d_}), x = random({tokens, d_}, DType::bf16);
    OwnedTensor logits = empty({tokens, experts}, DType::f32), expert = empty({tokens, k}, DType::i32),
                weight = empty({tokens, k}, DType::f32);
    flops(fmt::format("gemm router f32 [{}, 2048] [128, 2048]^T", tokens), 2 * f(tokens) * f(d_) * f(experts),
          [&] { gemm(stream(), u.view(), w.router.weight, GemmOutput::store, logits.view()); });
    bytes(fmt::format("router_top_k [{}, 128], 8", tokens), f(tokens) * f(experts * 4 + k * 8), [&] {
      router_top_k(stream(), logits.view(), RouterRule{.renormalise = true}, {}, expert.view(), weight.view());
    });
    OwnedTensor offsets = empty({experts + 1}, DType::i64), input = empty({pairs}, DType::i32),
                output = empty({pairs}, DType::i32), total = empty({experts}, DType::i64);
    bench().report_time("kernels", fmt::format("group_by_expert [{}, 8]", tokens), time_on_device(stream(), [&] {
                          group_by_expert(stream(), expert.view(), offsets.view(), input.view(), output.view(),
                                          total.view());
                        }));
    const auto list = [](const OwnedTensor& t) {
      return std::span(static_cast<const int32_t*>(t.view().data), static_cast<size_t>(t.view().rows()));
    };
    const GroupedRows rows{{static_cast<const int64_t*>(offsets.view().data), static_cast<size_t>(experts + 1)},
                           list(input),
                           list(output)};
    OwnedTensor y = empty({pairs, d_}, DType::bf16), sum = random({tokens, d_});
    const double elements = 3 * f(d_ * c_.moe().expert_size);  // of an expert
    const std::string ffn = fmt::format("grouped_ffn, {} rows over 128 experts, f 768", pairs);
    const auto run_ffn = [&] { grouped_ffn(stream(), x.view(), rows, w.experts, {}, GemmOutput::store, y.view()); };
    if (tokens < kTokens)
      bytes(ffn, f(experts) * elements * 2, run_ffn);
    else
      flops(ffn, f(pairs) * 2 * elements, run_ffn);
    bytes(fmt::format("combine [{}, 8, 2048] bf16", tokens), f(tokens) * (f(k * d_) * 2 + f(d_) * 8 + f(k) * 4), [&] {
      combine(stream(), y.view().reshaped({tokens, k, d_}), weight.view(), sum.view(), sum.view());
    });
  }

  void vocabulary() {
    const OwnedTensor x = random({kTokens, d_}, DType::bf16);
    const Batch batch = random_batch(c_, kRecords, kLength);
    OwnedTensor target = empty({kTokens}, DType::i32), logprob = empty({kTokens}, DType::f32),
                argmax = empty({kTokens}, DType::i32),
                scratch = empty({cross_entropy_scratch(kTokens, c_.vocab_size)}, DType::f32);
    copy(stream(), view_of<int32_t>(batch.ids), target.view());
    flops("cross_entropy, 16384 rows, vocabulary 151936", 2 * f(kTokens) * f(d_) * f(c_.vocab_size), [&] {
      cross_entropy(stream(), x.view(), engine_.weights().head, target.view(), scratch.view(), {}, logprob.view(),
                    argmax.view());
    });
  }

  RandomEngine engine_;
  const ModelConfig& c_ = engine_.weights().config;
  const AttentionConfig& a_ = c_.layers.front().attention;
  const int64_t d_ = c_.hidden_size, q_ = a_.query_size(), kv_ = a_.key_size();
  uint64_t seed_ = 0;
};

}  // namespace

void bench_kernels() {
  Ops().run();
}

}  // namespace switchyard::bench
