// A layer's way forward and back, written out: what each of the forward pass's steps owes to its inputs and weights.
// What the way back needs of the way forward is on the tape, or computed again from it.
#pragma once

#include <span>

#include "exchange/gradient_exchange.h"
#include "kernels/listed_rows.h"
#include "model/position_tables.h"
#include "train/model/block_gradient.h"
#include "train/pass/step_batch.h"

namespace switchyard {

/// What attention is made of: [tokens, heads, each] f32. q and k are what Heads::multiply() makes of the products; k of
/// latents whole.
struct AttentionTape {
  AttentionTape() = default;
  AttentionTape(Arena& arena, const AttentionConfig& c, int64_t tokens);

  View q, k, v, context;

  bool kept() const { return q.shape.rank() > 0; }
  AttentionTape slice(int64_t first, int64_t count) const;
};

/// Which experts a router has chosen, and with which weights.
struct ChosenExperts {
  View expert;  ///< [tokens, k] i32
  View weight;  ///< [tokens, k] f32
};

/// What a layer's forward pass leaves for its backward pass; all of the rank's tokens.
struct LayerTape {
  View x;                ///< [tokens, d] f32: the residual stream before the layer
  View middle;           ///< [tokens, d] f32: after its attention
  View lse;              ///< [tokens, heads] f32: of attention's softmax
  ChosenExperts chosen;  ///< as routed; moe layers
  // Where there is memory for them:
  AttentionTape attention;
  View gate_up;  ///< [rows, 2f] f32: products of rows that this rank's experts had, window by window
};

/// What all of a step's pass shares.
struct StepPass {
  const Stream& stream;
  Arena& arena;
  const TrainedModel& model;
  const StepBatch& batch;
  std::span<const StepBatch::Piece> pieces;
  ConstView positions;  ///< [tokens] i32
  int64_t bytes_at_once;
  bool squared;  ///< TrainPassOptions::squares

  const ModelConfig& config() const { return model.weights().config; }
  DType operand() const { return model.weights().operand; }
  float eps() const { return static_cast<float>(config().rms_norm_eps); }
  /// As what is summed over them is wanted.
  SlicedRows sliced(const SliceRange& slices, std::span<const int64_t> offsets) const {
    return {slices, offsets, squared};
  }
};

/// x += attention(norm(tape.x)), leaving tape.lse and tape.attention.   x: [tokens, d] f32
void forward_attention(const StepPass& pass, size_t layer, const PositionTables& tables, const LayerTape& tape, View x);

/// Through x + attention(norm(x)).   dx: [tokens, d] f32, the gradient of that; afterwards that of x.
void backward_attention(const StepPass& pass, size_t layer, const PositionTables& tables, const LayerTape& tape,
                        View dx);

/// What a step's tokens say of a layer's balance.
struct LayerBalance {
  /// [E] f32: the balancing loss's gradient of each token's probabilities; no data: none
  ConstView d_probability = {};
  std::span<const int64_t> tokens;  ///< [E] of the whole step
  View probability_sums;            ///< [this rank's slices, E] f64: where the sums of probabilities go
};

/// x = tape.middle + ffn(norm(tape.middle)), leaving tape.chosen and tape.gate_up.   x: [tokens, d] f32
void forward_feed_forward(const StepPass& pass, size_t layer, GradientExchange& exchange, const LayerTape& tape,
                          View x);

/// Through x + ffn(norm(x)): a mixture of experts, or one dense SwiGLU.   dx: as above; rows go to experts by
/// `exchange`.
void backward_feed_forward(const StepPass& pass, size_t layer, GradientExchange& exchange, const LayerTape& tape,
                           const LayerBalance& balance, View dx);

// The parts of these.

/// `x` as experts take it: an operand with so many rows behind it, an exchange's room() for other ranks'. Itself, or in
/// the arena.
View with_room(const StepPass& pass, int64_t room, View x);

/// The whole step's tokens through a layer's experts.   u: [tokens + room, d] operand; returns [tokens · k, d] operand
ConstView forward_experts(const StepPass& pass, size_t layer, GradientExchange& exchange, const LayerTape& tape,
                          View u);
/// And back.   tokens: [E] of the whole step; dy: as u; weight: [tokens, k] f32, by which results were multiplied; du:
/// [tokens, d] f32, stored; d_weight: as weight
void backward_experts(const StepPass& pass, size_t layer, GradientExchange& exchange, const LayerTape& tape,
                      std::span<const int64_t> tokens, View u, View dy, ConstView weight, View du, View d_weight);

/// x = value, of f32, where it is not only measured.
void fill(const Stream& stream, float value, View x);

/// `x` as products of the operand take it: itself, or rounded, in the arena.
ConstView as_operand(const Stream& stream, Arena& arena, ConstView x, DType operand);

/// The gradient of a product's weights (kernels/products/weight_gradient.h) into `sums`, as far as they train.
void sum_products(const StepPass& pass, const ListedRows& dy, const ListedRows& x, const SlicedRows& rows,
                  const BlockGradient& sums, const void* place);
/// out = the sums of x's columns, up the tree of slices.   x: [rows, n] f32; out: views of n elements, or none,
/// likewise
void sum_columns(const StepPass& pass, ConstView x, const SlicedRows& rows, std::vector<View> out);

/// Through y = x Wᵀ: W's gradient into `sums`, and dx = (or +=) dy W.   x: [rows, k] operand; dy: [rows, n] f32
void backward_product(const StepPass& pass, const PackedMatrix& w, const PackedMatrix& transpose, ConstView x,
                      ConstView dy, const SlicedRows& rows, const BlockGradient& sums, GemmOutput output, View dx);
/// The same through y = x Wᵀ + b; their gradients into `sums`.
void backward_linear(const StepPass& pass, const Linear& w, const Linear& transpose, ConstView x, ConstView dy,
                     const SlicedRows& rows, const BlockGradient& sums, GemmOutput output, View dx);

/// Through an expert that every token goes to.   x, dy: [rows, d] operand; dx: [rows, d] f32, added to
void backward_ffn(const StepPass& pass, std::span<const FfnWeights> w, std::span<const FfnWeights> transposes,
                  const GatedActivation& activation, ConstView x, ConstView dy, const SlicedRows& rows,
                  const BlockGradient& sums, View dx);

}  // namespace switchyard
