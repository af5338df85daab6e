#include "train/train_memory.h"

#include <algorithm>
#include <set>

#include "comm/measuring_communicator.h"
#include "model/checkpoint/loader.h"
#include "model/memory_plan.h"
#include "train/checkpoints/state_files.h"
#include "train/parameters/step_slices.h"

namespace switchyard {
namespace {

/// A rank whose slices make the most partial sums, and one that has the most slices: no other takes more than one of
/// these.
std::set<int> fullest_ranks(const TrainMemoryRequest& r) {
  const auto slices_of = [&](int rank) { return slices_of_rank(r.num_slices, rank, r.world_size); };
  const auto sums_of = [&](int rank) { return tree_nodes(slices_of(rank)).size(); };
  int most_sums = 0, most_slices = 0;
  for (int rank = 1; rank < r.world_size; ++rank) {
    if (sums_of(rank) > sums_of(most_sums)) most_sums = rank;
    if (slices_of(rank).count() > slices_of(most_slices).count()) most_slices = rank;
  }
  return {most_sums, most_slices};
}

/// Of gradients that are on their way at one time: a block of the layer, and all of its experts.
size_t bytes_of_sums(const TrainedModel& model, const TrainMemoryRequest& r, const GradientExchange& exchange) {
  const bool attention_at_once = r.rank_tokens <= r.batch_tokens;
  // An expert has a row of each token at most.
  const bool experts_at_once = exchange.scratch().max_rows >= r.rank_tokens * r.ep;
  const TrainRanks& ranks = model.ranks();
  size_t most = 0, experts = 0;
  int64_t layer = -1;
  for (const ParameterBlock& block : model.space().blocks()) {
    if (!ranks.holds(block) || block.kind == ParameterBlock::Kind::embeddings ||
        block.kind == ParameterBlock::Kind::head)
      continue;
    const bool alone = ranks.holders_of(block).size() == 1;
    const bool at_once =
        block.expert >= 0 ? experts_at_once : attention_at_once || block.kind != ParameterBlock::Kind::self_attention;
    const size_t bytes = BlockGradient::bytes(block, block.expert >= 0 ? ranks.slices_of_group() : ranks.slices(),
                                              alone && (r.trained == 1 || at_once), at_once);
    most = std::max(most, bytes);
    if (block.expert < 0 || alone) continue;  // one after the other
    if (block.layer != layer) experts = 0;
    layer = block.layer;
    experts += bytes;
    most = std::max(most, experts);
  }
  return most;
}

TrainMemory plan_of_rank(const ModelConfig& config, const TrainMemoryRequest& r, int rank) {
  const std::unique_ptr<Communicator> world = make_measuring_communicator(rank, r.world_size);
  const TrainRanks ranks = TrainRanks::measuring(*world, r.ep, config, r.num_slices);
  const ParameterSpace space(config);
  const Selection selection = Selection::of_shape(space, r.trained);
  Measurement measured;
  const Stream stream = Stream::measuring(Device::cpu, measured);
  TrainMemory memory;
  size_t selection_bytes = 0;  // which nobody holds yet
  TrainedModel model(stream, config, r.operand, space, ranks, selection, r.state(), r.anchored);
  memory.state = model.shard_bytes();
  for (const Shard& shard : model.shards())
    if (!shard.trained->is_all()) selection_bytes += ElementSet::bytes_of(shard.trained->size());
  memory.state += selection_bytes;
  memory.weights = measured.held + selection_bytes - memory.state;

  measured = {};
  Arena arena = Arena::measuring(Device::cpu);
  TrainPass pass(stream, model, r.pass_options(1));
  StepBatch batch = StepBatch::measuring(ranks.slices(), r.rank_tokens);
  if (r.squares) {
    batch.uniform.resize(batch.row.size());
    batch.by_probability = true;
  }
  pass.run(stream, arena, batch);
  const GradientExchange& exchange = pass.exchange();
  memory.activations = arena.high_water();
  memory.scratch = measured.held + static_cast<size_t>(r.threads) * measured.working;
  memory.scratch += exchange.scratch().host_bytes;
  if (r.evaluation.max_tokens > 0) {
    const std::unique_ptr<Exchange> of_decoder = measuring_exchange(
        exchange_shape(config, ranks.placement(), r.operand, r.exchange_bytes), ranks.placement().max_count());
    const DecoderMemory decoder = measure_decoder(config, r.operand, r.evaluation, *of_decoder);
    memory.scratch += of_decoder->scratch_bytes(r.evaluation.max_tokens).host_bytes;
    memory.activations = std::max(memory.activations, decoder.arena);
    memory.scratch += decoder.held;
  }
  memory.sums = bytes_of_sums(model, r, exchange);
  const WeightBytes loading = predict_weight_bytes(config, r.operand, ranks.placement().max_count(), r.threads);
  memory.files = std::max(loading.scratch, StateFiles::buffer_bytes(space, model.state().size()));
  return memory;
}

}  // namespace

TrainPassOptions TrainMemoryRequest::pass_options(double balance) const {
  return {.balance = balance,
          .batch_tokens = batch_tokens,
          .exchange_bytes = exchange_bytes,
          .max_tokens = rank_tokens,
          .max_slice_tokens = slice_tokens,
          .max_record = longest,
          .squares = squares,
          .keep_products = keep_products};
}

size_t TrainMemory::peak() const {
  return weights + state + activations + scratch + std::max(sums, files);  // the arena stays
}

TrainMemory plan_train_memory(const ModelConfig& config, const TrainMemoryRequest& r) {
  TrainMemory most;
  for (const int rank : fullest_ranks(r)) {
    const TrainMemory of_rank = plan_of_rank(config, r, rank);
    for (const auto part : {&TrainMemory::weights, &TrainMemory::state, &TrainMemory::activations,
                            &TrainMemory::scratch, &TrainMemory::sums, &TrainMemory::files})
      most.*part = std::max(most.*part, of_rank.*part);
  }
  return most;
}

}  // namespace switchyard
