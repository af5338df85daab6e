// Both ends of the model: the loss and its head, and the embedding. Neither has a layer's shape, and the vocabulary is
// long: their gradients come together some rows at a time.
#pragma once

#include "train/pass/layer_pass.h"

namespace switchyard {

/// The states that have a target: what the head's gradient is made of.
struct HeadRows {
  HeadRows() = default;
  explicit HeadRows(const StepPass& pass);  ///< of its batch, in its arena

  View x;       ///< [targets, d] operand: the final states
  View target;  ///< [targets] i32: as the batch has them, or drawn
  View lse;     ///< [targets] f32: log-sums of their logits
  View weight;  ///< [targets] f32: of each target's gradient; no data: all 1
};

/// Σ −log p over this rank's targets, slice by slice, and the gradient of the mean over all of the step's; where
/// squares are wanted, of their sum, and with tied embeddings not yet by the head's weights. last: [tokens, d] f32, the
/// residual stream; head: filled; dx: [tokens, d] f32, the gradient of `last`; loss: [slices] f64, each the sum of its
/// targets in order
void backward_head(const StepPass& pass, ConstView last, const HeadRows& head, View dx, std::span<double> loss);

/// dx: [tokens, d] f32, the gradient of the first layer's input. With tied embeddings it is added to the head's, or,
/// where squares are wanted, squared with that: then head is what backward_head() has filled.
void backward_embedding(const StepPass& pass, const HeadRows& head, ConstView dx);

}  // namespace switchyard
