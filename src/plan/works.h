// Work that no op does: what lies between them.
#pragma once

#include "base/work.h"
#include "train/model/trained_model.h"

namespace switchyard {

/// Beside so many ops of a batch: lists, copies, fills. size: tokens, width
Work work_between(size_t ops, int64_t tokens, int64_t hidden_size);

/// Bytes read and written by a rank that copies memory. size: bytes
Work work_of_memory(double bytes);

/// A model that a rank reads, to compute with or to train. bytes: of what is stored; size: bytes
Work work_of_load(DType operand, double bytes, bool trained);

/// A file that is written, synced and published. size: bytes
Work work_of_commit(double bytes);

/// A rank's part of a checkpoint. size: bytes
Work work_of_checkpoint(double bytes);

/// A training step's gradients added up, beside the ops. size: elements that a rank holds, ranks
Work work_of_sums(const TrainedModel& model);

/// The optimiser's step, and the weights made anew. size: elements that a rank holds, that train there, ranks
Work work_of_update(const TrainedModel& model);

}  // namespace switchyard
