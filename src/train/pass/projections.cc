#include "train/pass/projections.h"

#include "kernels/attention/rope.h"
#include "kernels/rows/rms_norm.h"
#include "kernels/rows/scale_rows.h"
#include "model/linear.h"

namespace switchyard {

View by_head(View heads) {
  return heads.reshaped({heads.rows() * heads.shape[1], heads.shape[2]});
}

void Heads::multiply(ConstView x, const Linear& w) const {
  linear(p_.pass.stream, x, w, GemmOutput::store, product_.reshaped({x.rows(), w.weight.n()}));
  if (!turned_last()) turn(product_);
  if (!normed()) scale(product_);
}

View Heads::finished() const {
  if (!normed()) return product_;
  const View heads = p_.pass.arena.alloc(product_.shape, DType::f32);
  rms_norm(p_.pass.stream, by_head(product_), norm_.view(), p_.pass.eps(), by_head(heads));
  if (turned_last()) turn(heads);
  scale(heads);
  return heads;
}

void Heads::backward(View d, const BlockGradient& sums) const {
  scale(d);
  if (turned_last() || !normed()) turn_back(d);
  if (!normed()) return;
  const ArenaScope scope(p_.pass.arena);
  std::vector<int64_t> offsets(p_.rows.offsets.begin(), p_.rows.offsets.end());
  for (int64_t& offset : offsets) offset *= product_.shape[1];
  const View inverse_rms = p_.pass.arena.alloc({by_head(d).rows()}, DType::f32);
  std::vector<View> of_norm;
  if (norm_.view().rows() > 0) of_norm = sums.of(&norm_);
  rms_norm_backward(p_.pass.stream, by_head(product_), norm_.view(), p_.pass.eps(), by_head(d),
                    p_.pass.sliced(p_.rows.slices, offsets), GemmOutput::store, inverse_rms, by_head(d), of_norm);
  if (!turned_last()) turn_back(d);
}

void Heads::turn(View heads) const {
  const ConstView cos_sin = p_.tables.cos_sin;
  if (cos_sin.rows() > 0) rope(p_.pass.stream, p_.positions, cos_sin, p_.c.rotary.pairs, p_.c.rotary.first, heads);
}

void Heads::turn_back(View d) const {
  const ConstView cos_sin = p_.tables.cos_sin;
  if (cos_sin.rows() > 0) rope_backward(p_.pass.stream, p_.positions, cos_sin, p_.c.rotary.pairs, p_.c.rotary.first, d);
}

/// Queries by their positions, where the model does that: its own gradient.
void Heads::scale(View heads) const {
  if (are_queries_ && p_.c.temperature.scale != 0)
    scale_rows(p_.pass.stream, heads, p_.positions, p_.tables.temperature, heads);
}

void project(const Projection& p, const AttentionTape& numbers) {
  if (p.c.latent() != nullptr) return project_latents(p, numbers);
  Heads(p, p.w.q_norm, true, numbers.q).multiply(p.u, p.w.q);
  Heads(p, p.w.k_norm, false, numbers.k).multiply(p.u, p.w.k);
  linear(p.pass.stream, p.u, p.w.v, GemmOutput::store, numbers.v.reshaped({p.tokens(), p.c.value_size()}));
}

void project_backward(const Projection& p, const AttentionTape& numbers, View dq, View dk, View dv,
                      const BlockGradient& sums, View du) {
  if (p.c.latent() != nullptr) return project_latents_backward(p, numbers, dq, dk, dv, sums, du);
  Heads(p, p.w.q_norm, true, numbers.q).backward(dq, sums);
  Heads(p, p.w.k_norm, false, numbers.k).backward(dk, sums);
  const auto through = [&](const Linear& w, const Linear& transpose, View d, GemmOutput output) {
    backward_linear(p.pass, w, transpose, p.u, d.reshaped({p.tokens(), w.weight.n()}), p.rows, sums, output, du);
  };
  through(p.w.q, p.transposes.q, dq, GemmOutput::store);
  through(p.w.k, p.transposes.k, dk, GemmOutput::add);
  through(p.w.v, p.transposes.v, dv, GemmOutput::add);
}

}  // namespace switchyard
