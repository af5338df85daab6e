// A model that learns: its weights as products take them, here and transposed, and of its f32 parameters, their
// moments and gradients what this rank owns.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/device.h"
#include "model/weights.h"
#include "train/parameters/parameter_space.h"
#include "train/parameters/train_ranks.h"
#include "train/selection/selection.h"

namespace switchyard {

/// What this rank owns of a block that it holds: of elements [owned.first, owned.end) of the block those that train, in
/// their order, all f32.
struct Shard {
  size_t block = 0;
  ElementRange owned;
  const ElementSet* trained = nullptr;  ///< of all the block's elements
  View gradient = {};
  View master = {}, first_moment = {}, second_moment = {};  ///< of a model that learns
  View anchor = {}, importance = {};  ///< of one that is held to where it was: masters then, and how much that matters
  View sum = {}, rest = {};           ///< of a Fisher pass: of squares, and what the additions to it have lost

  int64_t count() const { return trained->count_in(owned); }
  /// What `values`, one of these, has of some of the block's elements.
  View part_of(const View& values, const ElementRange& elements) const {
    const ElementRange mine = overlap(elements, owned);
    return values.slice(trained->before(mine.first) - trained->before(owned.first), trained->count_in(mine));
  }
};

/// Numbers that are kept of every element, and what files add to a parameter's name for them.
struct StateValues {
  std::string_view suffix;
  View Shard::*values;
};
inline constexpr StateValues kOptimiserState[] = {
    {"", &Shard::master}, {".exp_avg", &Shard::first_moment}, {".exp_avg_sq", &Shard::second_moment}};
inline constexpr StateValues kSquaresState[] = {{".sum", &Shard::sum}, {".rest", &Shard::rest}};

class TrainedModel {
 public:
  /// Memory for all of it, without values; held by the measurement of a stream that only measures. space, ranks
  /// and selection outlive this. state: what shards have beside their gradients.
  TrainedModel(const Stream& stream, const ModelConfig& config, DType operand, const ParameterSpace& space,
               const TrainRanks& ranks, const Selection& selection,
               std::span<const StateValues> state = kOptimiserState, bool anchored = false);

  const ModelWeights& weights() const { return weights_; }
  /// Of every product's matrix W [n, k] the transpose, for the gradient of what it is applied to. Not of the head.
  const ModelWeights& transposes() const { return transposes_; }
  /// Of the head's rows, kVocabularyTile at a time, the transposes.
  std::span<const PackedMatrix> head_transposes() const { return head_transposes_; }
  static constexpr int64_t kVocabularyTile = 2048;

  const ParameterSpace& space() const { return space_; }
  const TrainRanks& ranks() const { return ranks_; }
  const Selection& selection() const { return selection_; }
  std::span<const StateValues> state() const { return state_; }
  size_t shard_bytes() const;                                ///< of all shards' numbers
  std::span<const Shard> shards() const { return shards_; }  ///< of all blocks that this rank holds, in order
  const Shard& shard(size_t block) const { return shards_[static_cast<size_t>(shard_of_block_[block])]; }

  /// A block's tensor by its place in weights(): an OwnedTensor, or a PackedMatrix.
  const BlockTensor& tensor_at(size_t block, const void* place) const;

  /// A tensor that a walk over parameters visits, of a block that this rank holds, from its values: weights, and of the
  /// master what this rank owns. values: f32, all of the tensor. Safe to call from several threads, each for another
  /// tensor.
  void set(const StoredTensor& tensor, ConstView values);

  /// All weights that may have changed from all owners' masters. Collective.
  void spread(const Stream& stream);
  /// Those of one block. Collective over the ranks that hold it. buffer: grows to what it takes, and is worth keeping.
  void spread(const Stream& stream, size_t block, std::vector<float>& buffer);

 private:
  /// A tensor's places in memory.
  struct Place {
    OwnedTensor* tensor = nullptr;
    PackedMatrix* matrix = nullptr;
    PackedMatrix* transpose = nullptr;
  };
  void set_weights(const Stream& stream, size_t block, size_t tensor, ConstView values);
  std::span<const float> gather_masters(size_t block, const ElementRange& range, std::vector<float>& buffer) const;
  void set_members(const Stream& stream, size_t block, size_t tensor, int64_t first_row, int64_t rows,
                   std::span<const float> values);
  /// The same of an embedding's or head's rows from `first_row` on, a multiple of kVocabularyTile.
  void set_vocabulary(const Stream& stream, size_t block, int64_t first_row, ConstView values);
  void set_master(size_t block, int64_t first, std::span<const float> values);
  void make_places(const Stream& stream, DType operand);
  void make_shards(const Stream& stream, bool anchored);

  const ParameterSpace& space_;
  const TrainRanks& ranks_;
  const Selection& selection_;
  ModelWeights weights_, transposes_;
  std::vector<PackedMatrix> head_transposes_;
  std::vector<std::vector<Place>> places_;  ///< [blocks][tensors]; none of a block that is not held
  std::vector<Shard> shards_;
  std::vector<int64_t> shard_of_block_;
  std::span<const StateValues> state_;
  std::vector<OwnedTensor> shard_memory_;  ///< of each kind of values that shards have
};

/// Takes what trains out of values of all elements of a range, which lies within the shard's.   from: [range.count()];
/// to: what the shard has of these; add: to what is there
void take_trained(const Stream& stream, const Shard& shard, const ElementRange& range, ConstView from, View to,
                  bool add = false);

/// Whether a pass has made the shard's gradient: an expert without tokens has none. tokens_per_expert: [layers, E] of
/// the whole step.
bool has_gradient(const TrainedModel& model, const Shard& shard, std::span<const int64_t> tokens_per_expert);

}  // namespace switchyard
