// Both ends of the model: the loss and its head, and the embedding. Neither has a layer's shape, and the vocabulary is
// long: their gradients come together some rows at a time.
#pragma once

#include "train/layer_pass.h"

namespace switchyard {

/// Σ −log p over this rank's targets, slice by slice, and the gradient of the mean over all of the step's.
/// last: [tokens, d] f32, the residual stream; dx: [tokens, d] f32, its gradient; loss: [slices] f64, each the sum of
/// its targets in order
void backward_head(const StepPass& pass, ConstView last, View dx, std::span<double> loss);

/// dx: [tokens, d] f32, the gradient of the first layer's input. With tied embeddings it is added to the head's.
void backward_embedding(const StepPass& pass, ConstView dx);

}  // namespace switchyard
