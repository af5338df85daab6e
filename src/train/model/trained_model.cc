#include "train/model/trained_model.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "kernels/row_blocks.h"
#include "kernels/rows/cast.h"

namespace switchyard {
namespace {

using Kind = ParameterBlock::Kind;

bool is_vocabulary(const ParameterBlock& block) {
  return block.kind == Kind::embeddings || block.kind == Kind::head;
}

/// Some elements of a tensor's rows anew, f32 or rounded.
void put_members(View to, const ElementBits& bits, const float* values) {
  with_float_type(to.dtype, "put_members", [&](auto type) {
    using T = decltype(type);
    bits.for_each(0, to.elements(), [&](int64_t i) {
      if constexpr (std::is_same_v<T, float>)
        to.as<T>()[i] = *values++;
      else
        to.as<T>()[i] = to_bfloat16(*values++);
    });
  });
}

View floats(float* data, int64_t count) {
  return {data, {count}, DType::f32, Device::cpu};
}

std::vector<StoredTensor> tensors_of(const ModelConfig& config, std::span<const int> experts, ModelWeights* weights) {
  std::vector<StoredTensor> all;
  for_each_tensor(config, experts, weights, [&](const StoredTensor& tensor) { all.push_back(tensor); });
  return all;
}

}  // namespace

TrainedModel::TrainedModel(const Stream& stream, const ModelConfig& config, DType operand, const ParameterSpace& space,
                           const TrainRanks& ranks, const Selection& selection, std::span<const StateValues> state,
                           bool anchored)
    : space_(space),
      ranks_(ranks),
      selection_(selection),
      weights_(empty_weights(config, operand, ranks.placement().count(ranks.group().rank()))),
      transposes_(empty_weights(config, operand, ranks.placement().count(ranks.group().rank()))),
      places_(space.blocks().size()),
      shard_of_block_(space.blocks().size(), -1),
      state_(state) {
  make_places(stream, operand);
  make_shards(stream, anchored);
}

void TrainedModel::make_places(const Stream& stream, DType operand) {
  const std::span<const int> experts = ranks_.placement().experts_of(ranks_.group().rank());
  const ModelConfig& config = weights_.config;
  const auto matrix = [&stream](int64_t n, int64_t k, DType dtype, RowOrder order) {
    if (stream.measured == nullptr) return PackedMatrix::uninitialised(n, k, dtype, order);
    PackedMatrix shape = PackedMatrix::of_shape(n, k, dtype, order, stream.device);
    stream.measured->held += shape.bytes();
    return shape;
  };
  const std::vector<StoredTensor> tensors = tensors_of(config, experts, &weights_),
                                  transposes = tensors_of(config, experts, &transposes_);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const StoredTensor& tensor = tensors[i];
    const Shape shape = tensor.shape();
    const DType dtype = tensor.dtype(operand);
    Place place{tensor.tensor, tensor.matrix, nullptr};
    if (!tensor.packed) {
      *tensor.tensor = hold(stream, shape, dtype);
    } else {
      *tensor.matrix = matrix(shape[0], shape[1], dtype, tensor.order);
      if (tensor.in_layer()) {
        place.transpose = transposes[i].matrix;
        *place.transpose = matrix(shape[1], shape[0], dtype, RowOrder::plain);
      }
    }
    places_[space_.block_of(tensor)].push_back(place);
  }
  for (int64_t first = 0; first < config.vocab_size; first += kVocabularyTile)
    head_transposes_.push_back(
        matrix(config.hidden_size, std::min(kVocabularyTile, config.vocab_size - first), operand, RowOrder::plain));
}

void TrainedModel::make_shards(const Stream& stream, bool anchored) {
  int64_t total = 0;
  for (size_t b = 0; b < space_.blocks().size(); ++b) {
    const ParameterBlock& block = space_.blocks()[b];
    if (!ranks_.holds(block)) continue;
    const ElementRange owned = ranks_.owned(space_, b)[static_cast<size_t>(ranks_.holders_of(block).rank())];
    shard_of_block_[b] = std::ssize(shards_);
    shards_.push_back({.block = b, .owned = owned, .trained = &selection_.of_block(b)});
    total += shards_.back().count();
  }
  const auto allocate = [&](View Shard::*values) {
    const View all = shard_memory_.emplace_back(hold(stream, {total}, DType::f32)).view();
    int64_t first = 0;
    for (Shard& shard : shards_) {
      shard.*values = all.slice(first, shard.count());
      first += shard.count();
    }
  };
  for (const StateValues& kind : state_) allocate(kind.values);
  allocate(&Shard::gradient);
  if (!anchored) return;
  allocate(&Shard::anchor);
  allocate(&Shard::importance);
}

size_t TrainedModel::shard_bytes() const {
  size_t bytes = 0;
  for (const OwnedTensor& all : shard_memory_) bytes += all.view().bytes();
  return bytes;
}

const BlockTensor& TrainedModel::tensor_at(size_t block, const void* place) const {
  const std::vector<Place>& places = places_[block];
  const auto found =
      std::ranges::find_if(places, [place](const Place& p) { return p.tensor == place || p.matrix == place; });
  SWITCHYARD_CHECK(found != places.end(), "{} has no such tensor", space_.blocks()[block].name());
  // A tied head is the embedding once more.
  return space_.blocks()[block]
      .tensors[std::min(static_cast<size_t>(found - places.begin()), space_.blocks()[block].tensors.size() - 1)];
}

void TrainedModel::set(const StoredTensor& tensor, ConstView values) {
  if (tensor.tied) return;  // has its values from the embedding
  ThreadPool alone(1);
  const Stream serial{Device::cpu, &alone};
  const size_t index = space_.block_of(tensor);
  const ParameterBlock& block = space_.blocks()[index];
  const std::string name = tensor.parameters().front().name();
  const auto found = std::ranges::find_if(
      block.tensors, [&](const BlockTensor& t) { return t.tensor.parameters().front().name() == name; });
  SWITCHYARD_CHECK(found != block.tensors.end(), "{} has no tensor {}", block.name(), name);
  if (is_vocabulary(block)) {
    for (int64_t row = 0; row < values.rows(); row += kVocabularyTile)
      set_vocabulary(serial, index, row, values.slice(row, std::min(kVocabularyTile, values.rows() - row)));
  } else {
    set_weights(serial, index, static_cast<size_t>(found - block.tensors.begin()), values);
  }
  set_master(index, found->offset, values.span<float>());
}

void TrainedModel::set_weights(const Stream& stream, size_t block, size_t tensor, ConstView values) {
  const Place& place = places_[block][tensor];
  if (place.tensor != nullptr) return cast(stream, values, place.tensor->view());
  place.matrix->rewrite(&stream, values);
  place.transpose->rewrite_transposed(&stream, values);
}

void TrainedModel::set_vocabulary(const Stream& stream, size_t block, int64_t first_row, ConstView values) {
  for (const Place& place : places_[block]) {
    if (place.tensor != nullptr) {
      cast(stream, values, place.tensor->view().slice(first_row, values.rows()));
    } else {
      place.matrix->rewrite_rows(&stream, values, first_row);
      head_transposes_[static_cast<size_t>(first_row / kVocabularyTile)].rewrite_transposed(&stream, values);
    }
  }
}

void TrainedModel::set_master(size_t block, int64_t first, std::span<const float> values) {
  const Shard& s = shard(block);
  if (s.master.shape.rank() == 0) return;
  const ElementRange all{first, first + std::ssize(values)}, common = overlap(s.owned, all);
  s.trained->compress(common,
                      values.subspan(static_cast<size_t>(common.first - first), static_cast<size_t>(common.count())),
                      s.part_of(s.master, all).span<float>());
}

void TrainedModel::spread(const Stream& stream) {
  if (shards_.front().master.shape.rank() == 0) return;  // of weights that stay
  std::vector<float> buffer;
  for (const Shard& shard : shards_) spread(stream, shard.block, buffer);
}

/// Values of the elements of a range that train, from whoever owns their masters. buffer: for those that are not in one
/// place. Collective over the ranks that hold the block.
std::span<const float> TrainedModel::gather_masters(size_t index, const ElementRange& range,
                                                    std::vector<float>& buffer) const {
  const ParameterBlock& block = space_.blocks()[index];
  Communicator& holders = ranks_.holders_of(block);
  const Shard& mine = shard(index);
  if (holders.size() == 1) return mine.part_of(mine.master, range).span<float>();
  const ElementSet& trained = *mine.trained;
  buffer.resize(std::max(buffer.size(), static_cast<size_t>(trained.count_in(range))));
  const std::vector<ElementRange> owned = ranks_.owned(space_, index);
  for (int r = 0; r < holders.size(); ++r) {
    const ElementRange part = overlap(owned[static_cast<size_t>(r)], range);
    const int64_t count = trained.count_in(part);
    if (count == 0) continue;
    float* to = buffer.data() + (trained.before(part.first) - trained.before(range.first));
    if (r == holders.rank()) std::ranges::copy(mine.part_of(mine.master, part).span<float>(), to);
    holders.broadcast(floats(to, count), r);
  }
  return std::span(buffer).first(static_cast<size_t>(trained.count_in(range)));
}

/// Rows of a tensor anew, of which some elements train.   values: of these
void TrainedModel::set_members(const Stream& stream, size_t index, size_t tensor, int64_t first_row, int64_t rows,
                               std::span<const float> values) {
  const ParameterBlock& block = space_.blocks()[index];
  const BlockTensor& of_block = block.tensors[tensor];
  const ElementSet& trained = *shard(index).trained;
  const int64_t columns = of_block.elements() / of_block.tensor.shape()[0];
  const int64_t first = of_block.offset + first_row * columns, before = trained.before(first);
  const bool vocabulary = is_vocabulary(block);
  // A tied head is the embedding once more.
  const std::span<const Place> places =
      vocabulary ? std::span<const Place>(places_[index]) : std::span(&places_[index][tensor], 1);
  PackedMatrix* transpose =
      vocabulary ? &head_transposes_[static_cast<size_t>(first_row / kVocabularyTile)] : places.front().transpose;
  bool side_by_side = transpose == nullptr || transpose->takes_members_side_by_side();
  for (const Place& place : places)
    if (place.matrix != nullptr) side_by_side = side_by_side && place.matrix->takes_members_side_by_side();
  const int64_t rows_per_task = side_by_side ? PackedMatrix::kRowsTogether : rows;
  stream.parallel_for((rows + rows_per_task - 1) / rows_per_task, [&](int64_t task, int) {
    const int64_t row = task * rows_per_task, count = std::min(rows_per_task, rows - row);
    const ElementBits bits = trained.bits(first + row * columns);
    const float* members = values.data() + (trained.before(bits.first) - before);
    for (const Place& place : places) {
      if (place.tensor != nullptr) {
        put_members(place.tensor->view().slice(first_row + row, count), bits, members);
        continue;
      }
      place.matrix->write_members(first_row + row, count, bits, members);
      transpose->write_members_transposed(row, count, bits, members);
    }
  });
}

void TrainedModel::spread(const Stream& stream, size_t index, std::vector<float>& buffer) {
  const ParameterBlock& block = space_.blocks()[index];
  const ElementSet& trained = *shard(index).trained;
  for (size_t t = 0; t < block.tensors.size(); ++t) {
    const BlockTensor& tensor = block.tensors[t];
    const Shape shape = tensor.tensor.shape();
    const int64_t columns = tensor.elements() / shape[0], at_once = is_vocabulary(block) ? kVocabularyTile : shape[0];
    for (int64_t row = 0; row < shape[0]; row += at_once) {
      const int64_t rows = std::min(at_once, shape[0] - row), first = tensor.offset + row * columns;
      const ElementRange range{first, first + rows * columns};
      if (trained.count_in(range) == 0) continue;
      const std::span<const float> values = gather_masters(index, range, buffer);
      if (trained.count_in(range) < range.count()) {
        set_members(stream, index, t, row, rows, values);
        continue;
      }
      const ConstView all{values.data(), shape.rank() > 1 ? Shape{rows, columns} : Shape{rows}, DType::f32,
                          Device::cpu};
      if (is_vocabulary(block))
        set_vocabulary(stream, index, row, all);
      else
        set_weights(stream, index, t, all);
    }
  }
}

void take_trained(const Stream& stream, const Shard& shard, const ElementRange& range, ConstView from, View to,
                  bool add) {
  constexpr int64_t kElementsPerTask = int64_t{1} << 15;
  const ElementSet& trained = *shard.trained;
  const int64_t before = trained.before(range.first);
  stream.parallel_for((range.count() + kElementsPerTask - 1) / kElementsPerTask, [&](int64_t task, int) {
    const int64_t first = range.first + task * kElementsPerTask;
    const ElementRange part{first, std::min(first + kElementsPerTask, range.end)};
    const auto source =
        from.span<float>().subspan(static_cast<size_t>(part.first - range.first), static_cast<size_t>(part.count()));
    const std::span<float> target = to.span<float>().subspan(static_cast<size_t>(trained.before(part.first) - before),
                                                             static_cast<size_t>(trained.count_in(part)));
    if (!add) return trained.compress(part, source, target);
    std::vector<float> members(target.size());
    trained.compress(part, source, members);
    for (size_t i = 0; i < members.size(); ++i) target[i] += members[i];
  });
}

bool has_gradient(const TrainedModel& model, const Shard& shard, std::span<const int64_t> tokens_per_expert) {
  const ParameterBlock& block = model.space().blocks()[shard.block];
  if (block.expert < 0) return true;
  return tokens_per_expert[static_cast<size_t>(block.layer * model.weights().config.num_experts() + block.expert)] > 0;
}

}  // namespace switchyard
