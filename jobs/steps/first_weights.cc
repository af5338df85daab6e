#include "jobs/steps/first_weights.h"

#include "comm/collectively.h"
#include "model/checkpoint/delta_check.h"

namespace switchyard {

FirstWeights load_model(PassEngine& engine, const ModelOptions& options) {
  Communicator& world = engine.ranks().world();
  collectively(world, [&] { engine.load(options.model, options.deltas()); });
  FirstWeights first;
  Hash128 hash;
  collectively(world, [&] {
    hash = engine.model_hash();
    first = {hash.hex(), engine.master_hash()};
  });
  require_same_model(world, hash, options.model);
  collectively(world, [&] {
    if (world.rank() == 0)
      require_result(engine.model().weights().config, options.model, options.deltas(), hash, engine.stream().poll);
  });
  return first;
}

}  // namespace switchyard
