#include "train/optimiser.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "comm/collectively.h"
#include "kernels/optimizer/pull_to_anchor.h"
#include "kernels/optimizer/sum_of_squares.h"

namespace switchyard {
namespace {

constexpr int64_t kChunk = ParameterSpace::kChunkElements, kChunksAtOnce = 16;

/// Some of a shard's chunks: elements of the block.
struct Portion {
  const Shard* shard;
  ElementRange range;
};

/// Those of which anything trains.
std::vector<Portion> cut(std::span<const Shard> shards) {
  std::vector<Portion> all;
  for (const Shard& shard : shards)
    for (int64_t first = shard.owned.first; first < shard.owned.end; first += kChunksAtOnce * kChunk)
      if (const ElementRange range{first, std::min(first + kChunksAtOnce * kChunk, shard.owned.end)};
          shard.trained->count_in(range) > 0)
        all.push_back({&shard, range});
  return all;
}

}  // namespace

Optimiser::Optimiser(const Stream& stream, TrainedModel& model, const OptimiserOptions& options)
    : model_(model), options_(options) {
  for (int i = 0; i < stream.pool->num_threads(); ++i) alone_.push_back(std::make_unique<ThreadPool>(1));
}

/// For ops inside a worker's task.
Stream Optimiser::serial_of(const Stream& stream, int worker) const {
  Stream serial = stream;
  serial.pool = alone_[static_cast<size_t>(worker)].get();
  serial.poll = {};
  serial.works = nullptr;
  return serial;
}

/// Of what is held to an anchor, always.
bool Optimiser::has_gradient(const Shard& shard, std::span<const int64_t> tokens_per_expert) const {
  return options_.ewc > 0 || switchyard::has_gradient(model_, shard, tokens_per_expert);
}

/// Their gradient is 0, and update() leaves them alone.
void Optimiser::freeze_routers() const {
  for (const Shard& shard : model_.shards())
    for (const BlockTensor& tensor : model_.space().blocks()[shard.block].tensors) {
      if (!tensor.is_router) continue;
      const ElementRange part = overlap(tensor.elements_of_block(), shard.owned);
      if (part.count() > 0) std::ranges::fill(shard.part_of(shard.gradient, part).span<float>(), 0.0f);
    }
}

/// In canonical order.   sums: [chunks], 0 of what others own
double Optimiser::sum_over_chunks(std::vector<double> sums) const {
  model_.ranks().world().all_reduce({sums.data(), {std::ssize(sums)}, DType::f64}, ReduceOp::sum);
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

/// Adds to the gradients; the penalty.
double Optimiser::pull_to_anchors(const Stream& stream, std::span<const int64_t> tokens_per_expert) const {
  const std::vector<Portion> work = cut(model_.shards());
  std::vector<double> sums(static_cast<size_t>(model_.space().num_chunks()));
  stream.parallel_for(std::ssize(work), [&](int64_t task, int worker) {
    const auto& [shard, range] = work[static_cast<size_t>(task)];
    const bool add = switchyard::has_gradient(model_, *shard, tokens_per_expert);
    double* to = sums.data() + model_.space().first_chunk(shard->block) + range.first / kChunk;
    for (int64_t first = range.first; first < range.end; first += kChunk, ++to) {
      const ElementRange chunk{first, std::min(first + kChunk, range.end)};
      const auto part = [&](View Shard::*values) { return shard->part_of(shard->*values, chunk); };
      if (shard->trained->count_in(chunk) > 0)
        pull_to_anchor(serial_of(stream, worker), part(&Shard::master), part(&Shard::anchor), part(&Shard::importance),
                       static_cast<float>(options_.ewc), add, kChunk, part(&Shard::gradient),
                       {to, {1}, DType::f64, Device::cpu});
    }
  });
  return options_.ewc / 2 * sum_over_chunks(std::move(sums));
}

double Optimiser::gradient_norm(const Stream& stream, int64_t step, std::span<const int64_t> tokens_per_expert) const {
  const std::vector<Portion> work = cut(model_.shards());
  std::vector<double> sums(static_cast<size_t>(model_.space().num_chunks()));  // of what others own 0
  stream.parallel_for(std::ssize(work), [&](int64_t task, int worker) {
    const auto& [shard, range] = work[static_cast<size_t>(task)];
    if (!has_gradient(*shard, tokens_per_expert)) return;
    double* to = sums.data() + model_.space().first_chunk(shard->block) + range.first / kChunk;
    for (int64_t first = range.first; first < range.end; first += kChunk, ++to) {
      const View chunk = shard->part_of(shard->gradient, {first, std::min(first + kChunk, range.end)});
      if (chunk.elements() > 0)
        sum_of_squares(serial_of(stream, worker), chunk, kChunk, {to, {1}, DType::f64, Device::cpu});
    }
  });
  const double total = sum_over_chunks(std::move(sums));
  if (!std::isfinite(total)) fail_at_first_broken(step, "gradient", &Shard::gradient, tokens_per_expert);
  return std::sqrt(total);
}

/// Elements of a shard, tensor by tensor: how many weights are broken afterwards.
int64_t Optimiser::update(const Stream& serial, const Shard& shard, const ElementRange& range, const AdamwStep& step,
                          std::span<const int64_t> tokens_per_expert) const {
  int64_t broken = 0;
  const bool any = has_gradient(shard, tokens_per_expert);
  for (const BlockTensor& tensor : model_.space().blocks()[shard.block].tensors) {
    const ElementRange part = overlap(tensor.elements_of_block(), range);
    if (shard.trained->count_in(part) == 0 || (tensor.is_router && !options_.train_router)) continue;
    if (tensor.is_selection_bias) {
      balance(shard, tensor, part, tokens_per_expert);
      continue;
    }
    AdamwStep own = step;
    if (!tensor.is_matrix) own.weight_decay = 0;
    const View gradient = any ? shard.part_of(shard.gradient, part) : View{};
    adamw(serial, gradient, own, shard.part_of(shard.master, part), shard.part_of(shard.first_moment, part),
          shard.part_of(shard.second_moment, part), {&broken, {1}, DType::i64, Device::cpu});
  }
  return broken;
}

/// Elements `part` of the block: of its layer's bias for the choice of experts.
void Optimiser::balance(const Shard& shard, const BlockTensor& bias, const ElementRange& part,
                        std::span<const int64_t> tokens_per_expert) const {
  const auto experts = static_cast<size_t>(bias.elements());
  const auto layer = static_cast<size_t>(model_.space().blocks()[shard.block].layer);
  const auto tokens = tokens_per_expert.subspan(layer * experts, experts);
  const int64_t all = std::accumulate(tokens.begin(), tokens.end(), int64_t{0});
  const auto rate = static_cast<float>(options_.router_bias_update_rate);
  auto* values = shard.part_of(shard.master, part).as<float>();
  for (int64_t i = part.first; i < part.end; ++i) {
    const int64_t missing = all - bias.elements() * tokens[static_cast<size_t>(i - bias.offset)];  // times experts
    if (missing != 0) values[i - part.first] += missing > 0 ? rate : -rate;
  }
}

double Optimiser::step(const Stream& stream, int64_t number, double learning_rate,
                       std::span<const int64_t> tokens_per_expert) {
  if (options_.ewc > 0) penalty_ = pull_to_anchors(stream, tokens_per_expert);
  if (!options_.train_router) freeze_routers();
  const double norm = gradient_norm(stream, number, tokens_per_expert);
  const auto t = static_cast<double>(number);
  const double clipped = options_.max_grad_norm > 0 ? std::min(1.0, options_.max_grad_norm / (norm + 1e-6)) : 1.0;
  const AdamwStep step{.learning_rate = static_cast<float>(learning_rate),
                       .beta1 = static_cast<float>(options_.beta1),
                       .beta2 = static_cast<float>(options_.beta2),
                       .epsilon = static_cast<float>(options_.epsilon),
                       .weight_decay = static_cast<float>(options_.weight_decay),
                       .gradient_scale = static_cast<float>(clipped),
                       .first_correction = static_cast<float>(1 - std::pow(options_.beta1, t)),
                       .second_correction = static_cast<float>(std::sqrt(1 - std::pow(options_.beta2, t)))};
  std::atomic<int64_t> broken = 0;

  // What this rank holds alone becomes weights at once, while it is in the cache; the rest once its owners are done.
  std::vector<const Shard*> own, shared;
  for (const Shard& shard : model_.shards()) {
    if (shard.trained->is_empty()) continue;
    const ParameterBlock& block = model_.space().blocks()[shard.block];
    (block.expert >= 0 && model_.ranks().replicas().size() == 1 ? own : shared).push_back(&shard);
  }
  stream.parallel_for(std::ssize(own), [&](int64_t task, int worker) {
    const Shard& shard = *own[static_cast<size_t>(task)];
    const Stream serial = serial_of(stream, worker);
    broken += update(serial, shard, shard.owned, step, tokens_per_expert);
    std::vector<float> unused;  // they are all here
    model_.spread(serial, shard.block, unused);
  });
  std::vector<Portion> work;
  for (const Shard* shard : shared) std::ranges::copy(cut({shard, 1}), std::back_inserter(work));
  stream.parallel_for(std::ssize(work), [&](int64_t task, int worker) {
    const auto& [shard, range] = work[static_cast<size_t>(task)];
    broken += update(serial_of(stream, worker), *shard, range, step, tokens_per_expert);
  });
  if (model_.ranks().world().all_reduce_one(broken.load(), ReduceOp::sum) > 0)
    fail_at_first_broken(number, "weight", &Shard::master, {});
  std::vector<float> buffer;
  for (const Shard* shard : shared) model_.spread(stream, shard->block, buffer);
  return norm;
}

void Optimiser::fail_at_first_broken(int64_t step, std::string_view what, View Shard::*values,
                                     std::span<const int64_t> tokens_per_expert) const {
  int64_t first = std::numeric_limits<int64_t>::max();  // in the canonical order
  double value = 0;
  for (const Shard& shard : model_.shards()) {
    if (!tokens_per_expert.empty() && !has_gradient(shard, tokens_per_expert)) continue;
    const std::span<float> numbers = (shard.*values).span<float>();
    const auto broken = std::ranges::find_if(numbers, [](float x) { return !std::isfinite(x); });
    if (broken == numbers.end()) continue;
    const int64_t index = shard.trained->before(shard.owned.first) + (broken - numbers.begin());
    first = model_.space().blocks()[shard.block].first + shard.trained->at(index);
    value = *broken;
    break;
  }
  Communicator& world = model_.ranks().world();
  const int64_t of_all = world.all_reduce_one(first, ReduceOp::min);
  const bool is_nan = world.all_reduce_one(int64_t{first == of_all && std::isnan(value)}, ReduceOp::max) != 0;
  fail_together(ExitCode::internal, "step {}: the {} of {} is {}", step, what, model_.space().element_name(of_all),
                is_nan ? "not a number" : "infinite");
}

}  // namespace switchyard
