#include "plan/calibration.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "base/log.h"
#include "base/stopwatch.h"
#include "comm/collectively.h"
#include "io/file.h"
#include "model/engine.h"
#include "model/export/model_writer.h"
#include "model/random_model.h"
#include "plan/calibration_models.h"
#include "plan/works.h"
#include "train/checkpoints/checkpoints.h"
#include "train/trainer.h"

namespace switchyard {
namespace {

struct Sizes {
  int64_t tokens, length;  ///< of a batch, of each of its records
};
constexpr Sizes kBatches[] = {{1, 1},    {8, 8},     {32, 32},    {128, 32},    {128, 128},
                              {512, 64}, {512, 512}, {2048, 256}, {2048, 2048}, {8192, 512}};
constexpr Sizes kSteps[] = {{256, 32}, {1024, 128}, {4096, 512}, {4096, 64}, {8192, 1024}};
constexpr int kRepetitions = 3;     // behind one that warms up
constexpr double kMostSeconds = 3;  // of a repetition
constexpr int64_t kBatchTokens = 8192, kExchangeBytes = int64_t{256} << 20, kSlices = 8;
constexpr int64_t kMostTrained = 1024, kGroupWidth = 768;

std::vector<int32_t> random_tokens(std::mt19937& random, int64_t count, int64_t vocab) {
  std::uniform_int_distribution<int32_t> token(0, static_cast<int32_t>(vocab - 1));
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t& id : tokens) id = token(random);
  return tokens;
}

double total(const WorkLog& log) {
  return std::accumulate(log.begin(), log.end(), 0.0,
                         [](double sum, const WorkDone& done) { return sum + done.seconds; });
}

/// Repeats what a rank does, as long as it is short enough; all ranks begin together, and take as many turns.
class Repetition {
 public:
  Repetition(Communicator& world, const CalibrationRequest& request) : world_(world), request_(request) {}

  /// run(log): seconds, with everything that is listed. expected: tokens times what they cost. Adds to the rates what
  /// it has listed, and rest(seconds beside it).
  template <class Run, class Rest>
  void repeat(int64_t tokens, Rates& rates, const Run& run, const Rest& rest) {
    if (seconds_per_token_ * static_cast<double>(tokens) > kMostSeconds) return;
    for (int i = 0; i <= kRepetitions; ++i) {
      if (request_.poll) request_.poll();
      world_.barrier();
      WorkLog log;
      const double begin = seconds_now();
      run(log);
      const double seconds = seconds_now() - begin;
      if (i > 0) {
        rates.add(log);
        const Work work = rest(log);
        rates.add(work, std::max(1e-9, seconds - total(log)));
      }
      seconds_per_token_ = world_.all_reduce_one(seconds, ReduceOp::max) / static_cast<double>(tokens);
    }
  }

 private:
  Communicator& world_;
  const CalibrationRequest& request_;
  double seconds_per_token_ = 0;
};

/// Batches of a model whose experts `group` shares.
void time_scoring(Communicator& world, Communicator& group, const CalibrationRequest& request,
                  const ModelConfig& config, DType operand, Rates& rates) {
  const DecoderLimits limits{.max_tokens = kBatchTokens, .max_record = config.max_positions};
  Engine engine(config, random_model,
                {operand, request.threads, limits, kExchangeBytes, request.device.device, request.device.index}, group);
  std::mt19937 random(static_cast<unsigned>(world.rank()));
  Repetition repetition(world, request);
  for (const Sizes& sizes : kBatches) {
    Batch batch;
    std::vector<int32_t> row, target;
    for (int64_t first = 0; first < sizes.tokens; first += sizes.length)
      batch.add(random_tokens(random, sizes.length, config.vocab_size));
    for (int64_t r = 0; r < sizes.tokens; ++r) row.push_back(static_cast<int32_t>(r));
    target = batch.ids;
    const auto run = [&](WorkLog& log) {
      engine.list_works(&log);
      const ArenaScope scope(engine.arena());
      const View states = engine.decoder().forward(engine.stream(), engine.arena(), batch);
      synchronize(engine.stream());
      engine.decoder().score(engine.stream(), engine.arena(), states, row, target);
      engine.list_works(nullptr);
    };
    repetition.repeat(sizes.tokens, rates, run,
                      [&](const WorkLog& log) { return work_between(log.size(), sizes.tokens, config.hidden_size); });
  }
}

/// tokens: of a rank's longest step
TrainMemoryRequest training_shape(const CalibrationRequest& request, DType operand, int ranks, int64_t tokens) {
  const int64_t of_slice = (tokens + kSlices - 1) / kSlices;
  return {.operand = operand,
          .world_size = ranks,
          .ep = ranks,
          .threads = request.threads,
          .num_slices = kSlices * ranks,
          .rank_tokens = tokens,
          .slice_tokens = of_slice,
          .longest = of_slice,
          .batch_tokens = kBatchTokens,
          .exchange_bytes = kExchangeBytes,
          .keep_products = true};
}

/// Steps of a model that all ranks of `group` train.
void time_training(Communicator& world, Communicator& group, const CalibrationRequest& request,
                   const ModelConfig& config, DType operand, Rates& rates) {
  TrainerOptions options;
  options.shape = training_shape(request, operand, group.size(), kSteps[std::size(kSteps) - 1].tokens);
  Trainer trainer(group, config, options);
  trainer.initialise({});
  std::mt19937 random(static_cast<unsigned>(world.rank()));
  Repetition repetition(world, request);
  int64_t step = 0;
  for (const Sizes& sizes : kSteps) {
    StepBatch batch(trainer.ranks().slices());
    const int64_t records = std::max<int64_t>(1, sizes.tokens / sizes.length / kSlices);
    for (int64_t slice = 0; slice < batch.slices.count(); ++slice) {
      batch.begin_slice();
      for (int64_t i = 0; i < records; ++i) batch.add(random_tokens(random, sizes.length + 1, config.vocab_size), 1);
    }
    batch.end();
    batch.step_tokens = batch.batch.tokens() * group.size();
    batch.step_targets = std::ssize(batch.row) * group.size();
    double updating = 0;
    const auto run = [&](WorkLog& log) {
      const double before = trainer.seconds().update;
      batch.step = ++step;
      trainer.list_works(&log);
      trainer.step(batch, 1e-4);
      trainer.list_works(nullptr);
      updating = trainer.seconds().update - before;
      log.push_back({work_of_update(trainer.model()), updating});
    };
    repetition.repeat(batch.batch.tokens(), rates, run, [&](const WorkLog&) { return work_of_sums(trainer.model()); });
  }
}

/// Files as they are committed, of several sizes.
void time_commits(const std::filesystem::path& folder, Rates& rates) {
  for (const size_t bytes : {size_t{1} << 14, size_t{1} << 20, size_t{1} << 24, size_t{1} << 29}) {
    const std::string content(bytes, 'x');
    for (int i = 0; i < kRepetitions; ++i) {
      double seconds = 0;
      {
        const Stopwatch stopwatch(seconds);
        write_file_atomically(folder / "committed", content);
      }
      rates.add(work_of_commit(static_cast<double>(bytes)), seconds);
    }
  }
}

/// Some 200 MB in bf16.
void write_stored_model(const std::filesystem::path& folder) {
  const Json config{{"model_type", "qwen3_moe"},
                    {"architectures", {"Qwen3MoeForCausalLM"}},
                    {"vocab_size", 16384},
                    {"hidden_size", 768},
                    {"intermediate_size", 768},
                    {"moe_intermediate_size", 512},
                    {"num_hidden_layers", 2},
                    {"num_attention_heads", 12},
                    {"num_key_value_heads", 4},
                    {"head_dim", 64},
                    {"num_experts", 32},
                    {"num_experts_per_tok", 4},
                    {"rms_norm_eps", 1e-6},
                    {"rope_theta", 1e4},
                    {"max_position_embeddings", 4096},
                    {"tie_word_embeddings", false},
                    {"hidden_act", "silu"}};
  const std::filesystem::path file = folder / "config.json";
  write_file_atomically(file, to_text(config));
  write_model(folder / "model", file, plan_export(read_model_config(file), file, ExportDType::bf16),
              [](const ParameterRows& rows, std::span<float> out) { random_parameters({}, rows, out); });
}

/// Has the system forget a directory's files as far as it will, so that they are read from where they are.
void forget_pages(const std::filesystem::path& directory) {
  for (const std::filesystem::path& path : list_directory(directory)) {
    const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() >= 0) ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
}

/// Every rank's own, at once.
void time_checkpoint(Communicator& world, const CalibrationRequest& request, const std::filesystem::path& folder,
                     Rates& rates) {
  const std::unique_ptr<Communicator> self = make_self_communicator();
  const DType operand = request.operands.front();
  TrainerOptions options;
  options.shape = training_shape(request, operand, 1, kSlices);
  Trainer trainer(*self, calibration_model(256, 8), options);
  trainer.initialise({});
  Checkpoints checkpoints(folder / fmt::format("rank-{}", world.rank()), trainer.model(), "calibration");
  for (int64_t i = 1; i <= kRepetitions; ++i) {
    world.barrier();
    double seconds = 0;
    {
      const Stopwatch stopwatch(seconds);
      checkpoints.save(
          {.step = i}, [] {}, [] {});
    }
    rates.add(work_of_checkpoint(static_cast<double>(checkpoints.bytes_each())), seconds);
  }
}

/// A model's directory, written by the world's first rank and read by all; and files that are committed.
void time_files(Communicator& world, const CalibrationRequest& request, Rates& rates) {
  const std::filesystem::path folder = request.directory / "calibration-files";
  const bool on_root = world.rank() == 0;
  collectively(world, [&] {
    if (!on_root) return;
    std::filesystem::remove_all(folder);
    make_directories(folder);
    time_commits(folder, rates);
    write_stored_model(folder);
  });
  const std::filesystem::path model = folder / "model";
  const ModelConfig config = read_model_config(model);
  const DecoderLimits limits{.max_tokens = 1, .max_record = 1};
  for (const DType operand : request.operands) {
    collectively(world, [&] {
      if (on_root) forget_pages(model);
    });
    double seconds = 0;
    uint64_t bytes = 0;
    collectively(world, [&] {
      const std::unique_ptr<Communicator> self = make_self_communicator();
      const Stopwatch stopwatch(seconds);
      const Engine engine(
          config, checkpoint_weights(model),
          {operand, request.threads, limits, kExchangeBytes, request.device.device, request.device.index}, *self);
      bytes = engine.bytes_read();
    });
    rates.add(work_of_load(operand, static_cast<double>(bytes), false), seconds);
    if (!request.training) continue;
    seconds = 0;
    collectively(world, [&] {
      const std::unique_ptr<Communicator> self = make_self_communicator();
      const Stopwatch stopwatch(seconds);
      TrainerOptions options;
      options.shape = training_shape(request, operand, 1, kSlices);
      Trainer(*self, config, options).load(model);
    });
    rates.add(work_of_load(operand, static_cast<double>(bytes), true), seconds);
  }
  collectively(world, [&] {
    if (request.training) time_checkpoint(world, request, folder, rates);
  });
  collectively(world, [&] {
    if (on_root) std::filesystem::remove_all(folder);
  });
}

/// Hosts are numbered in the order of their first ranks.
int host_of(Communicator& world) {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  const std::vector<std::string> all = world.all_gather_strings(name);
  return static_cast<int>(std::ranges::find(all, name) - all.begin());
}

/// What ranks of a group take together: exchanges, sums and updates; of several hosts these alone are kept.
Rates time_groups(Communicator& world, Communicator& group, const CalibrationRequest& request) {
  Rates rates;
  const ModelConfig config = calibration_model(kGroupWidth, std::max(32, group.size()));
  for (const DType operand : request.operands) {
    time_scoring(world, group, request, config, operand, rates);
    if (request.training) time_training(world, group, request, config, operand, rates);
  }
  return rates;
}

/// All ranks' together, at rank 0.
Rates gather_rates(Communicator& world, const Rates& mine) {
  const std::string text = to_text(to_json(mine));
  Rates all;
  for (const auto& bytes : world.gather_bytes(std::as_bytes(std::span(text)), 0))
    all.add(
        rates_from_json(parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "a rank's calibration"),
                        "a rank's calibration"));
  return all;
}

}  // namespace

std::vector<LayoutRates> calibrate(Communicator& world, const CalibrationRequest& request) {
  const std::unique_ptr<Communicator> self = make_self_communicator();
  Rates of_host, between_hosts;
  for (const DType operand : request.operands)
    for (const int64_t width : request.widths) {
      log::info("calibrating: {}, {} wide", name_of(operand), width);
      time_scoring(world, *self, request, calibration_model(width, width > kMostTrained ? 8 : 32), operand, of_host);
      if (request.training && width <= kMostTrained)
        time_training(world, *self, request, calibration_model(width, 32), operand, of_host);
    }
  const std::unique_ptr<Communicator> host = world.split(host_of(world), world.rank());
  for (int size = 2; size <= request.ranks_on_host; size *= 2) {
    if (request.ranks_on_host % size != 0) continue;
    log::info("calibrating: groups of {} ranks on a host", size);
    const std::unique_ptr<Communicator> group = host->split(host->rank() / size, host->rank());
    of_host.add(time_groups(world, *group, request));
  }
  const int hosts = world.size() / request.ranks_on_host;
  if (hosts > 1) {
    log::info("calibrating: {} ranks on {} hosts", world.size(), hosts);
    between_hosts = time_groups(world, world, request);
  }
  log::info("calibrating: files");
  time_files(world, request, of_host);
  std::vector<LayoutRates> layouts{{1, request.ranks_on_host, request.threads, gather_rates(world, of_host)}};
  if (hosts > 1) layouts.push_back({hosts, request.ranks_on_host, request.threads, gather_rates(world, between_hosts)});
  return layouts;
}

}  // namespace switchyard
