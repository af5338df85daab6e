#include "train/trained_model.h"

#include <algorithm>
#include <utility>

#include "kernels/rows/cast.h"

namespace switchyard {
namespace {

using Kind = ParameterBlock::Kind;

bool is_vocabulary(const ParameterBlock& block) {
  return block.kind == Kind::embeddings || block.kind == Kind::head;
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
  s.trained->compress(common, values.subspan(static_cast<size_t>(common.first - first), static_cast<size_t>(common.count())),
                      s.part_of(s.master, all).span<float>());
}

void TrainedModel::spread(const Stream& stream) {
  if (shards_.front().master.shape.rank() == 0) return;  // of weights that stay
  std::vector<float> buffer;
  for (const Shard& shard : shards_) spread(stream, shard.block, buffer);
}

/// Rows of a tensor from whoever owns their masters; what does not train as it is in the weights. buffer: for those that
/// are not in one place. Collective over the ranks that hold the block.   shape: of the rows
ConstView TrainedModel::gather_masters(const Stream& stream, size_t index, size_t tensor, int64_t first_row,
                                       const Shape& shape, std::vector<float>& buffer) const {
  const BlockTensor& of_block = space_.blocks()[index].tensors[tensor];
  const int64_t first = of_block.offset + first_row * (shape.rank() > 1 ? shape[1] : 1);
  const ElementRange range{first, first + shape.elements()};
  Communicator& holders = ranks_.holders_of(space_.blocks()[index]);
  const Shard& mine = shard(index);
  const ElementSet& trained = *mine.trained;
  if (holders.size() == 1 && trained.is_all()) return ConstView(mine.part_of(mine.master, range)).reshaped(shape);
  buffer.resize(std::max(buffer.size(), static_cast<size_t>(range.count())));
  const View values{buffer.data(), shape, DType::f32, Device::cpu};
  if (!trained.is_all()) {
    const Place& place = places_[index][tensor];
    if (place.tensor != nullptr)
      cast(stream, place.tensor->view().slice(first_row, shape[0]), values);
    else
      place.matrix->read_rows(first_row, values);
  }
  const std::vector<ElementRange> owned = ranks_.owned(space_, index);
  std::vector<float> members;
  for (int r = 0; r < holders.size(); ++r) {
    const ElementRange part = overlap(owned[static_cast<size_t>(r)], range);
    const int64_t count = trained.count_in(part);
    if (count == 0) continue;
    const auto to = std::span(buffer).subspan(static_cast<size_t>(part.first - first), static_cast<size_t>(part.count()));
    View values_of_owner = mine.part_of(mine.master, part);
    if (r != holders.rank()) {
      members.resize(static_cast<size_t>(count));
      values_of_owner = floats(members.data(), count);
    }
    holders.broadcast(values_of_owner, r);
    trained.expand(part, values_of_owner.span<float>(), to);
  }
  return values;
}

void TrainedModel::spread(const Stream& stream, size_t index, std::vector<float>& buffer) {
  const ParameterBlock& block = space_.blocks()[index];
  const ElementSet& trained = *shard(index).trained;
  for (size_t t = 0; t < block.tensors.size(); ++t) {
    const BlockTensor& tensor = block.tensors[t];
    if (trained.count_in(tensor.elements_of_block()) == 0) continue;
    const Shape shape = tensor.tensor.shape();
    if (!is_vocabulary(block)) {
      set_weights(stream, index, t, gather_masters(stream, index, t, 0, shape, buffer));
      continue;
    }
    for (int64_t row = 0; row < shape[0]; row += kVocabularyTile) {
      const int64_t rows = std::min(kVocabularyTile, shape[0] - row);
      set_vocabulary(stream, index, row, gather_masters(stream, index, t, row, {rows, shape[1]}, buffer));
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
    const auto source = from.span<float>().subspan(static_cast<size_t>(part.first - range.first),
                                                   static_cast<size_t>(part.count()));
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
