// Where a layer's queries, keys and values come from, forward and back.
#pragma once

#include "train/pass/layer_pass.h"

namespace switchyard {

/// Some tokens of a layer: whole slices, which go through its attention at once.
struct Projection {
  const StepPass& pass;
  const AttentionConfig& c;
  const AttentionWeights &w, &transposes;
  const PositionTables& tables;
  ConstView positions;  ///< [tokens] i32
  ConstView u;          ///< [tokens, d] operand, the normed states
  SlicedRows rows;      ///< the tokens

  int64_t tokens() const { return u.rows(); }
};

/// [tokens, heads, dim] as [tokens * heads, dim].
View by_head(View heads);

/// Queries or keys between a product and attention: normed, turned and scaled as the model does it.
class Heads {
 public:
  /// product: [tokens, heads, head_dim] f32; norm: its weights, where it has some
  Heads(const Projection& p, const OwnedTensor& norm, bool are_queries, View product)
      : p_(p), norm_(norm), are_queries_(are_queries), product_(product) {}

  /// The product itself, of x [tokens, .], and what comes before the norm; without one all of it.
  void multiply(ConstView x, const Linear& w) const;
  /// As attention takes them; in the arena, if not the product itself.
  View finished() const;
  /// d: the gradient of finished(); afterwards that of the product.
  void backward(View d, const BlockGradient& sums) const;

 private:
  bool normed() const { return p_.c.qk_norm != QkNorm::none; }
  bool turned_last() const { return p_.c.qk_norm == QkNorm::before_rotary; }
  void turn(View heads) const;
  void turn_back(View d) const;
  void scale(View heads) const;

  const Projection& p_;
  const OwnedTensor& norm_;
  const bool are_queries_;
  const View product_;
};

/// numbers.q, .k and .v, as they are kept.
void project(const Projection& p, const AttentionTape& numbers);
/// dq, dk, dv: the gradients of what attention took, overwritten; du: [tokens, d] f32, stored.
void project_backward(const Projection& p, const AttentionTape& numbers, View dq, View dk, View dv,
                      const BlockGradient& sums, View du);

// Of latents (model/attention_heads.cc).
void project_latents(const Projection& p, const AttentionTape& numbers);
void project_latents_backward(const Projection& p, const AttentionTape& numbers, View dq, View dk, View dv,
                              const BlockGradient& sums, View du);

}  // namespace switchyard
