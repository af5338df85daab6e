// A model's parameters in one canonical order, whoever holds them: f32 numbers 0 … N−1, in blocks whose tensors are
// always held together. What is summed, counted, hashed or stored goes by this order, so that it depends on no ranks.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "comm/ordered_sum.h"
#include "model/parameters.h"

namespace switchyard {

/// A tensor as it lies in memory (gate's rows above up's), in its block.
struct BlockTensor {
  StoredTensor tensor;     ///< without a place in memory
  int64_t offset = 0;      ///< of its first element in the block
  bool is_matrix = false;  ///< weight decay is for these
  bool is_router = false;
  bool is_selection_bias = false;  ///< of a router: no gradient moves it, but the load of its experts

  int64_t elements() const { return tensor.shape().elements(); }
  ElementRange elements_of_block() const { return {offset, offset + elements()}; }
};

/// One expert's tensors, or those of a layer's attention, of the rest of its feed-forward block, or one tensor that is
/// in no layer. A tied head is no parameter of its own.
struct ParameterBlock {
  enum class Kind : uint8_t { embeddings, head, norm, self_attention, feed_forward, expert };
  Kind kind = Kind::norm;
  int64_t layer = -1, expert = -1;
  int64_t first = 0;  ///< of its elements, in the canonical order
  int64_t elements = 0;
  std::vector<BlockTensor> tensors = {};

  /// "model.layers.3.mlp.experts.17", for people.
  std::string name() const;
};

class ParameterSpace {
 public:
  explicit ParameterSpace(const ModelConfig& config);

  const std::vector<ParameterBlock>& blocks() const { return blocks_; }
  int64_t num_elements() const { return num_elements_; }
  /// Of a tensor that a walk over parameters visits.
  size_t block_of(const StoredTensor& tensor) const;
  size_t block_of(ParameterBlock::Kind kind, int64_t layer = -1, int64_t expert = -1) const;
  /// Where a parameter begins: its block, and the offset there. That of a tied head: the embedding's.
  std::pair<size_t, int64_t> place_of(const Parameter& parameter) const;
  /// The parameter that an element of the canonical order belongs to, and which of its elements: "NAME[row, column]".
  std::string element_name(int64_t element) const;

  // Chunks: what the order is cut into for all that is summed over it. None has elements of two blocks.
  static constexpr int64_t kChunkElements = int64_t{1} << 16;
  int64_t num_chunks() const { return num_chunks_; }
  int64_t first_chunk(size_t block) const { return first_chunks_[block]; }
  int64_t num_chunks(size_t block) const { return (blocks_[block].elements + kChunkElements - 1) / kChunkElements; }

 private:
  std::vector<ParameterBlock> blocks_;
  std::vector<int64_t> first_chunks_;
  std::vector<size_t> first_of_layer_;  ///< [layers] its attention's block; its feed-forward's and experts' follow
  int64_t num_elements_ = 0, num_chunks_ = 0;
  bool tied_ = false;
};

}  // namespace switchyard
