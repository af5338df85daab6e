// A training step against the machine: operations over what it can multiply, bytes over what it can copy, in one run.
// usage: bench_train [--dim d] [--layers n] [--ffn f] [--head-dim n] [--kv-share n] [--vocab n] [--records n]
//                    [--length n] [--dtype f32|bf16] [--steps n] [--threads n] [--slices n] [--keep 0|1]
//                    [--freeze share [--granularity element|row|expert]] [--fisher 0|1]
// One JSON line. --slices 1: the sums of one rank, without a tree; --keep 0: attention is computed again on the way
// back; --freeze: of all but routers, norms and biases so much does not train, by chance; --fisher 1: not a step, but a
// pass for Fisher information with labels that are drawn, a record a slice. Under mpirun: ranks that share the experts,
// the records and the machine, --threads each; its rates are the sum of theirs at the same time, seconds the slowest
// rank's. peak_bytes: the largest rank's resident set, the program itself, libraries and the buffers of the rates
// included.
#include <sys/resource.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/stopwatch.h"
#include "ceiling.h"
#include "comm/mpi_communicator.h"
#include "io/json.h"
#include "kernels/cpu_isa.h"
#include "perf/benchmark_main.h"
#include "perf/operations.h"
#include "train/fisher/fisher_pass.h"
#include "train/parameters/step_slices.h"
#include "train/trainer.h"

namespace switchyard::bench {
namespace {

struct Sizes {
  int64_t dim = 256, layers = 4, ffn = 128, head_dim = 32, kv_share = 2, vocab = 257;
  int64_t records = 8, length = 256, steps = 12, threads = 0, slices = 0, keep = 1, fisher = 0;
  DType dtype = DType::f32;
  std::string freeze = "0", granularity = "element";
};

/// Qwen3-MoE of 128 experts, k 4, as many heads as make the width, of which kv_share share their keys and values.
ModelConfig model_of(const Sizes& s) {
  ModelConfig c{.family = "qwen3_moe",
                .vocab_size = s.vocab,
                .hidden_size = s.dim,
                .rms_norm_eps = 1e-6,
                .max_positions = s.length};
  AttentionConfig attention =
      AttentionConfig::of_heads(s.dim / s.head_dim, s.dim / s.head_dim / s.kv_share, s.head_dim, 10'000);
  attention.qk_norm = QkNorm::before_rotary;
  const MoeConfig moe{.router = {.num_experts = 128, .experts_per_token = 4, .renormalise = true},
                      .expert_size = s.ffn};
  c.layers.assign(static_cast<size_t>(s.layers), {attention, moe});
  return c;
}

/// A rank's part of it.
StepBatch random_step(const Sizes& s, std::span<const int64_t> ends, const SliceRange& mine, int64_t step) {
  StepBatch batch(mine);
  batch.step = step;
  std::vector<int32_t> tokens(static_cast<size_t>(s.length) + 1);
  for (int64_t slice = mine.first; slice < mine.end; ++slice) {
    batch.begin_slice();
    for (int64_t r = ends[static_cast<size_t>(slice)]; r < ends[static_cast<size_t>(slice) + 1]; ++r) {
      for (size_t i = 0; i < tokens.size(); ++i)
        tokens[i] = static_cast<int32_t>(random_bits(static_cast<uint64_t>(step * 1000 + r), i) %
                                         static_cast<uint64_t>(s.vocab));
      batch.add(tokens, 1);
      while (s.fisher != 0 && batch.uniform.size() < batch.row.size())
        batch.uniform.push_back(static_cast<double>(random_uniform(static_cast<uint64_t>(r), batch.uniform.size())));
    }
  }
  batch.end();
  batch.step_tokens = batch.step_targets = s.records * s.length;
  return batch;
}

/// Of all ranks at the same time.
double rate_of_all(Communicator& world, const auto& measure) {
  world.barrier();
  return world.all_reduce_one(measure(), ReduceOp::sum);
}

/// What is measured: training steps, or a Fisher pass's.
struct Measured {
  std::unique_ptr<PassEngine> engine;
  std::function<void(const StepBatch&)> step;
  std::function<TrainSeconds()> seconds;
};

Measured measured(Communicator& world, const ModelConfig& config, const TrainerOptions& options) {
  if (options.shape.squares) {
    auto pass = std::make_unique<FisherPass>(world, config, options.shape);
    FisherPass& fisher = *pass;
    return {std::move(pass), [&fisher](const StepBatch& batch) { fisher.add(batch); },
            [&fisher] {
              return TrainSeconds{fisher.pass_seconds(), 0};
            }};
  }
  auto trainer = std::make_unique<Trainer>(world, config, options);
  Trainer& t = *trainer;
  return {std::move(trainer), [&t](const StepBatch& batch) { t.step(batch, 1e-4); }, [&t] { return t.seconds(); }};
}

PassEngine::Select selection_of(const Sizes& s) {
  if (s.freeze == "0") return {};
  SelectionOptions o{.rule = SelectionRule::random};
  if (s.granularity != "element") o.granularity = s.granularity == "row" ? Granularity::row : Granularity::expert;
  o.frozen = Decimal::parse(s.freeze, "--freeze");
  return [o](const ParameterSpace& space, const TrainRanks& ranks) { return Selection(space, ranks, o, {}); };
}

Json measure(Communicator& world, const Sizes& s) {
  const ModelConfig config = model_of(s);
  const int64_t tokens = s.records * s.length;
  const int64_t slices = s.fisher != 0  ? static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(s.records)))
                         : s.slices > 0 ? s.slices
                                        : default_slices(tokens);
  const SliceRange mine = slices_of_rank(slices, world.rank(), world.size());
  const std::vector<int64_t> lengths(static_cast<size_t>(s.records), s.length);
  const std::vector<int64_t> ends = cut_into_slices(lengths, slices);
  const auto tokens_in = [&](const SliceRange& some) {
    return (ends[static_cast<size_t>(some.end)] - ends[static_cast<size_t>(some.first)]) * s.length;
  };
  int64_t slice_tokens = 0;
  for (int64_t slice = 0; slice < slices; ++slice) slice_tokens = std::max(slice_tokens, tokens_in({slice, slice + 1}));
  TrainerOptions options;
  options.balance = 0.01;
  options.shape = {.operand = s.dtype,
                   .world_size = world.size(),
                   .ep = world.size(),
                   .threads = static_cast<int>(s.threads),
                   .num_slices = slices,
                   .rank_tokens = world.all_reduce_one(tokens_in(mine), ReduceOp::max),
                   .slice_tokens = slice_tokens,
                   .longest = s.length,
                   .batch_tokens = 8192,
                   .exchange_bytes = int64_t{256} << 20,
                   .trained = s.freeze == "0" ? 1 : 1 - std::stod(s.freeze),
                   .squares = s.fisher != 0,
                   .keep_products = s.keep != 0};
  options.select = selection_of(s);
  const Measured of = measured(world, config, options);
  const Stream& stream = of.engine->stream();
  of.engine->initialise({.seed = 1, .range = 0.02});
  const auto multiplying_rate = [&] { return rate_of_all(world, [&] { return ceiling_gflops(stream, s.dtype); }); };
  const auto copying_rate = [&] { return rate_of_all(world, [&] { return ceiling_copy_gbytes(stream); }); };
  double ceiling = multiplying_rate(), copying = copying_rate();
  std::vector<double> seconds;
  TrainSeconds best;
  for (int64_t step = 1; step <= s.steps + 2; ++step) {
    const StepBatch batch = random_step(s, ends, mine, step);
    const TrainSeconds before = of.seconds();
    world.barrier();
    const double begin = seconds_now();
    of.step(batch);
    const double took = world.all_reduce_one(seconds_now() - begin, ReduceOp::max);
    if (step <= 2) continue;  // memory is touched for the first time
    if (seconds.empty() || took < std::ranges::min(seconds)) {
      const TrainSeconds now = of.seconds();
      best = {{now.pass.forward - before.pass.forward, now.pass.head - before.pass.head,
               now.pass.backward - before.pass.backward},
              now.update - before.update};
    }
    seconds.push_back(took);
  }
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const int64_t peak = world.all_reduce_one(int64_t{used.ru_maxrss} << 10, ReduceOp::max);
  ceiling = std::max(ceiling, multiplying_rate());
  copying = std::max(copying, copying_rate());
  std::ranges::sort(seconds);
  const double forward = static_cast<double>(tokens) *
                         (layer_operations(config) + attention_operations(config, s.length) + head_operations(config));
  const auto parameters = static_cast<double>(config.total_parameters());
  const double computing = 3 * forward / (ceiling * 1e9), moving = 28 * parameters / (copying * 1e9);
  Json line;
  line["benchmark"] = "train";
  line["dtype"] = std::string(name_of(s.dtype));
  line["cpu_isa"] = std::string(current_cpu_isa());
  line["ranks"] = world.size();
  line["threads_per_rank"] = s.threads;
  line["dim"] = s.dim;
  line["ffn"] = s.ffn;
  line["layers"] = s.layers;
  line["tokens"] = tokens;
  line["slices"] = slices;
  line["parameters"] = parameters;
  line["predicted_bytes"] = plan_train_memory(config, options.shape).peak();
  line["peak_bytes"] = peak;
  line["step_seconds"] = seconds.front();
  line["median_seconds"] = seconds[seconds.size() / 2];
  line["tokens_per_second"] = static_cast<double>(tokens) / seconds.front();
  line["ceiling_gflops"] = ceiling;
  line["ceiling_copy_gbytes"] = copying;
  line["roofline_seconds"] = computing + moving;
  line["times_roofline"] = seconds.front() / (computing + moving);
  line["forward"] = best.pass.forward;
  line["head"] = best.pass.head;
  line["backward"] = best.pass.backward;
  line["update"] = best.update;
  return line;
}

int main_with(const std::vector<std::string>& args) {
  const MpiEnvironment mpi;
  const std::unique_ptr<Communicator> world = make_mpi_communicator();
  Sizes s;
  s.threads = std::max(available_cores() / world->size(), 1);
  const std::map<std::string, int64_t*> numbers = {
      {"--dim", &s.dim},           {"--layers", &s.layers},   {"--ffn", &s.ffn},         {"--head-dim", &s.head_dim},
      {"--kv-share", &s.kv_share}, {"--vocab", &s.vocab},     {"--records", &s.records}, {"--length", &s.length},
      {"--steps", &s.steps},       {"--threads", &s.threads}, {"--slices", &s.slices},   {"--keep", &s.keep},
      {"--fisher", &s.fisher}};
  const std::map<std::string, std::string*> words = {{"--freeze", &s.freeze}, {"--granularity", &s.granularity}};
  for (size_t i = 0; i + 1 < args.size(); i += 2) {
    if (args[i] == "--dtype")
      s.dtype = args[i + 1] == "bf16" ? DType::bf16 : DType::f32;
    else if (const auto found = numbers.find(args[i]); found != numbers.end())
      *found->second = std::stoll(args[i + 1]);
    else if (const auto word = words.find(args[i]); word != words.end())
      *word->second = args[i + 1];
    else
      fail(ExitCode::usage, "no option {}", args[i]);
  }
  const Json line = measure(*world, s);
  if (world->rank() == 0) std::cout << line.dump() << std::endl;
  return 0;
}

}  // namespace
}  // namespace switchyard::bench

int main(int argc, char** argv) {
  return switchyard::bench::run_benchmark("bench_train", argc, argv, switchyard::bench::main_with);
}
