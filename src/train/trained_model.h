// A model that learns: its weights as products take them, here and transposed, and of its f32 parameters, their
// moments and gradients what this rank owns.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/device.h"
#include "model/weights.h"
#include "train/parameter_space.h"
#include "train/train_ranks.h"

namespace switchyard {

/// What this rank owns of a block that it holds: elements [owned.first, owned.end) of the block, all f32.
struct Shard {
  size_t block = 0;
  ElementRange owned;
  View master = {}, first_moment = {}, second_moment = {}, gradient = {};

  /// What `values`, one of these, has of some of the block's elements.
  View part_of(const View& values, const ElementRange& elements) const {
    const ElementRange mine = overlap(elements, owned);
    return values.slice(mine.first - owned.first, mine.count());
  }
};

class TrainedModel {
 public:
  /// Memory for all of it, without values; held by the measurement of a stream that only measures. space and ranks
  /// outlive this.
  TrainedModel(const Stream& stream, const ModelConfig& config, DType operand, const ParameterSpace& space,
               const TrainRanks& ranks);

  const ModelWeights& weights() const { return weights_; }
  /// Of every product's matrix W [n, k] the transpose, for the gradient of what it is applied to. Not of the head.
  const ModelWeights& transposes() const { return transposes_; }
  /// Of the head's rows, kVocabularyTile at a time, the transposes.
  std::span<const PackedMatrix> head_transposes() const { return head_transposes_; }
  static constexpr int64_t kVocabularyTile = 2048;

  const ParameterSpace& space() const { return space_; }
  const TrainRanks& ranks() const { return ranks_; }
  std::span<const Shard> shards() const { return shards_; }  ///< of all blocks that this rank holds, in order
  const Shard& shard(size_t block) const { return shards_[static_cast<size_t>(shard_of_block_[block])]; }

  /// A block's tensor by its place in weights(): an OwnedTensor, or a PackedMatrix.
  const BlockTensor& tensor_at(size_t block, const void* place) const;

  /// A tensor that a walk over parameters visits, of a block that this rank holds, from its values: weights, and of the
  /// master what this rank owns. values: f32, all of the tensor. Safe to call from several threads, each for another
  /// tensor.
  void set(const StoredTensor& tensor, ConstView values);

  /// All weights from all owners' masters. Collective.
  void spread(const Stream& stream);
  /// Those of one block. Collective over the ranks that hold it.
  void spread(const Stream& stream, size_t block);

 private:
  /// A tensor's places in memory.
  struct Place {
    OwnedTensor* tensor = nullptr;
    PackedMatrix* matrix = nullptr;
    PackedMatrix* transpose = nullptr;
  };
  void set_weights(const Stream& stream, size_t block, size_t tensor, ConstView values);
  /// The same of an embedding's or head's rows from `first_row` on, a multiple of kVocabularyTile.
  void set_vocabulary(const Stream& stream, size_t block, int64_t first_row, ConstView values);
  void set_master(size_t block, int64_t first, std::span<const float> values);
  void make_places(const Stream& stream, DType operand);
  void make_shards(const Stream& stream);

  const ParameterSpace& space_;
  const TrainRanks& ranks_;
  ModelWeights weights_, transposes_;
  std::vector<PackedMatrix> head_transposes_;
  std::vector<std::vector<Place>> places_;  ///< [blocks][tensors]; none of a block that is not held
  std::vector<Shard> shards_;
  std::vector<int64_t> shard_of_block_;
  OwnedTensor masters_, first_moments_, second_moments_, gradients_;
};

}  // namespace switchyard
