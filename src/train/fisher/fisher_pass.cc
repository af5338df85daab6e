#include "train/fisher/fisher_pass.h"

#include <utility>

#include "kernels/optimizer/compensated_sum.h"

namespace switchyard {

FisherPass::FisherPass(Communicator& world, const ModelConfig& config, const TrainMemoryRequest& shape,
                       std::function<void()> poll, Pulse* pulse)
    : PassEngine(world, config, shape, 0, {}, std::move(poll), pulse) {
  SWITCHYARD_CHECK(shape.squares, "a Fisher pass without squares");
  for (const Shard& shard : model_.shards()) {
    fill(stream_, 0, shard.sum);
    fill(stream_, 0, shard.rest);
  }
}

StepLosses FisherPass::add(const StepBatch& batch) {
  StepLosses losses = pass_.run(stream_, arena_, batch);
  for (const Shard& shard : model_.shards())
    if (has_gradient(model_, shard, losses.tokens_per_expert))
      compensated_sum(stream_, shard.gradient, shard.sum, shard.rest);
  return losses;
}

}  // namespace switchyard
