#include "plan/works.h"

#include <algorithm>

namespace switchyard {
namespace {

double held_elements(const TrainedModel& model) {
  double held = 0;
  for (const Shard& shard : model.shards()) held += static_cast<double>(model.space().blocks()[shard.block].elements);
  return held;
}

}  // namespace

Work work_between(size_t ops, int64_t tokens, int64_t hidden_size) {
  return {.name = "between_ops",
          .amount = static_cast<double>(ops),
          .size = {static_cast<double>(std::max<int64_t>(1, tokens)), static_cast<double>(hidden_size)}};
}

Work work_of_memory(double bytes) {
  return {.name = "memory", .amount = bytes, .size = {bytes}};
}

Work work_of_load(DType operand, double bytes, bool trained) {
  return {.name = trained ? "load_to_train" : "load", .dtype = operand, .amount = bytes, .size = {bytes}};
}

Work work_of_commit(double bytes) {
  return {.name = "commit", .amount = bytes, .size = {bytes}};
}

Work work_of_checkpoint(double bytes) {
  return {.name = "checkpoint", .amount = bytes, .size = {bytes}};
}

Work work_of_sums(const TrainedModel& model) {
  const double held = held_elements(model);
  return {.name = "sums_of_gradients",
          .dtype = model.weights().operand,
          .amount = held,
          .size = {held, static_cast<double>(model.ranks().world().size())}};
}

Work work_of_update(const TrainedModel& model) {
  const double held = held_elements(model);
  double trained = 1;
  for (const Shard& shard : model.shards()) trained += static_cast<double>(shard.trained->count_in(shard.owned));
  return {.name = "update",
          .dtype = model.weights().operand,
          .amount = held,
          .size = {held, trained, static_cast<double>(model.ranks().world().size())}};
}

}  // namespace switchyard
