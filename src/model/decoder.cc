#include "model/decoder.h"

#include <algorithm>

#include "base/device.h"
#include "kernels/products/gemm.h"
#include "kernels/routing/permute.h"
#include "kernels/rows/cast.h"
#include "kernels/rows/rms_norm.h"
#include "kernels/vocabulary/cross_entropy.h"

namespace switchyard {

Decoder::Decoder(const Stream& stream, const ModelWeights& weights, Exchange& exchange, const DecoderLimits& limits)
    : weights_(weights), exchange_(exchange), limits_(limits), positions_(stream, weights.config, limits.max_record) {
  if (limits.micro_batches > 1) part_bytes_ = measure_part(stream);
}

/// The arena of the largest micro-batch: its way through the layers, measured.
size_t Decoder::measure_part(const Stream& stream) const {
  Measurement own;
  const Stream measuring = Stream::measuring(stream.device, stream.measured != nullptr ? *stream.measured : own);
  Arena arena = Arena::measuring(stream.device);
  const std::unique_ptr<Exchange> exchange = exchange_.measuring();
  const Batch batch = Batch::of_single_tokens(limits_.part_tokens());
  const View x = arena.alloc({batch.tokens(), weights_.config.hidden_size}, DType::f32);
  std::deque<MicroBatch> parts;
  parts.emplace_back(measuring, arena, weights_, *exchange, batch, 0, batch.records(), x);
  through_layers(measuring, parts);
  parts.front().finish();
  return arena.high_water();
}

/// Where the micro-batches end: at records, near equal shares of the tokens.
std::vector<int64_t> Decoder::cut_records(const Batch& batch) const {
  std::vector<int64_t> ends;
  for (int64_t i = 1; i < limits_.micro_batches; ++i) {
    const int64_t share = batch.tokens() * i / limits_.micro_batches;
    ends.push_back(std::ranges::lower_bound(batch.record_offsets, share) - batch.record_offsets.begin());
  }
  ends.push_back(batch.records());
  return ends;
}

View Decoder::forward(const Stream& stream, Arena& arena, const Batch& batch) const {
  const ModelConfig& c = weights_.config;
  const View states = arena.alloc({batch.tokens(), c.hidden_size}, DType::f32);
  const ArenaScope scope(arena);
  std::deque<Arena> arenas;
  std::deque<MicroBatch> parts;
  const bool whole = limits_.micro_batches == 1;
  int64_t first = 0;
  for (const int64_t end : cut_records(batch)) {
    const int64_t tokens = batch.tokens_of(first, end);
    Arena& own = whole ? arena : arenas.emplace_back(arena, part_bytes_);
    const View x = whole ? states : own.alloc({tokens, c.hidden_size}, DType::f32);
    parts.emplace_back(stream, own, weights_, exchange_, batch, first, end - first, x);
    first = end;
  }
  through_layers(stream, parts);
  int64_t row = 0;
  for (MicroBatch& part : parts) {
    part.finish();
  }
  stream.behind_layers();
  for (const MicroBatch& part : parts) {
    rms_norm(stream, part.x(), weights_.norm.view(), static_cast<float>(c.rms_norm_eps),
             states.slice(row, part.x().rows()));
    row += part.x().rows();
  }
  return states;
}

/// With two parts, the rows of one travel while the other computes; the exchange serves one at a time. The last ones
/// are still under way when this returns.
void Decoder::through_layers(const Stream& stream, std::deque<MicroBatch>& parts) const {
  Stream polling = stream;
  polling.poll = [&] {
    for (MicroBatch& part : parts) part.poll();
    if (stream.poll) stream.poll();
  };
  for (size_t i = 0; i < weights_.layers.size(); ++i) {
    const LayerConfig& config = weights_.config.layers[i];
    const LayerWeights& layer = weights_.layers[i];
    for (MicroBatch& part : parts) {
      part.finish();
      stream.at_layer(i);
      part.attend(polling, config.attention, layer.attention, positions_.of_layer(i));
      part.route(polling, config, layer, static_cast<int>(i));
      for (MicroBatch& other : parts)
        if (&other != &part) other.finish();
      stream.at_layer(i);
      part.begin();
    }
  }
}

/// Those rows of the states, as products take them.
View Decoder::inputs_of_head(const Stream& stream, Arena& arena, ConstView states, std::span<const int32_t> row) const {
  const View x = arena.alloc({std::ssize(row), weights_.config.hidden_size}, DType::f32);
  gather_rows(stream, states, on_device(stream, arena, view_of(row)), x);
  if (weights_.operand == DType::f32) return x;
  const View rounded = arena.alloc(x.shape, weights_.operand);
  cast(stream, x, rounded);
  return rounded;
}

void Decoder::logits(const Stream& stream, Arena& arena, ConstView states, std::span<const int32_t> row,
                     const std::function<void(size_t, std::span<const float>)>& visit) const {
  constexpr int64_t kAtOnceBytes = int64_t{16} << 20;
  const ArenaScope scope(arena);
  const View x = inputs_of_head(stream, arena, states, row);
  const int64_t vocab = weights_.config.vocab_size, rows = std::ssize(row);
  const int64_t fit = kAtOnceBytes / (vocab * static_cast<int64_t>(sizeof(float)));
  const int64_t at_once = std::max<int64_t>(1, fit / kRowBucket) * kRowBucket;
  const View some = arena.alloc({std::min(rows, at_once), vocab}, DType::f32);
  for (int64_t first = 0; first < rows; first += at_once) {
    const int64_t count = std::min(at_once, rows - first);
    const View part = some.slice(0, count);
    gemm(stream, x.slice(first, count), weights_.head, GemmOutput::store, part);
    if (stream.measured != nullptr) continue;
    const HostCopy there(stream, part);
    for (int64_t r = 0; r < count; ++r) visit(static_cast<size_t>(first + r), there.view().slice(r, 1).span<float>());
  }
}

TokenScores Decoder::score(const Stream& stream, Arena& arena, ConstView states, std::span<const int32_t> row,
                           std::span<const int32_t> target) const {
  const ArenaScope scope(arena);
  const ModelConfig& c = weights_.config;
  const auto rows = static_cast<int64_t>(row.size());
  const View x = inputs_of_head(stream, arena, states, row);
  View scratch = arena.alloc({cross_entropy_scratch(rows, c.vocab_size)}, DType::f32);
  View logprob = arena.alloc({rows}, DType::f32), argmax = arena.alloc({rows}, DType::i32);
  cross_entropy(stream, x, weights_.head, on_device(stream, arena, view_of(target)), scratch, {}, logprob, argmax);

  TokenScores scores;
  scores.logprob.resize(row.size());
  scores.argmax.resize(row.size());
  copy(stream, logprob, {scores.logprob.data(), {rows}, DType::f32, Device::cpu});
  copy(stream, argmax, {scores.argmax.data(), {rows}, DType::i32, Device::cpu});
  synchronize(stream);
  return scores;
}

}  // namespace switchyard
