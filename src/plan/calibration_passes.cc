#include <algorithm>
#include <numeric>
#include <random>

#include "base/stopwatch.h"
#include "model/engine.h"
#include "model/random_model.h"
#include "plan/calibration_parts.h"
#include "plan/works.h"

namespace switchyard {
namespace {

struct Sizes {
  int64_t tokens, length;  ///< of a batch, of each of its records
};
constexpr Sizes kBatches[] = {{1, 1},    {8, 8},     {32, 32},    {128, 32},    {128, 128},
                              {512, 64}, {512, 512}, {2048, 256}, {2048, 2048}, {8192, 512}};
constexpr Sizes kSteps[] = {{256, 32}, {1024, 128}, {4096, 512}, {4096, 64}, {8192, 1024}};
constexpr double kShortSeconds = 2, kMostSeconds = 15;  // of a batch
constexpr int64_t kBatchTokens = 8192;

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

/// Of logs of the same work the median of every piece's seconds, of two the lower: what else happens on the machine is
/// in few of them. One whose pieces are others, as where tokens have found other experts meanwhile, does not count.
WorkLog median_log(std::vector<WorkLog> logs) {
  WorkLog median = logs.back();
  std::erase_if(logs, [&](const WorkLog& log) { return log.size() != median.size(); });
  for (size_t i = 0; i < median.size(); ++i) {
    std::vector<WorkDone> pieces;
    for (const WorkLog& log : logs) pieces.push_back(log[i]);
    const auto middle = pieces.begin() + (std::ssize(pieces) - 1) / 2;
    std::ranges::nth_element(pieces, middle, {}, &WorkDone::seconds);
    median[i] = *middle;
  }
  return median;
}

/// Repeats what a rank does; all ranks begin together, and take as many turns.
class Repetition {
 public:
  Repetition(Communicator& world, const CalibrationRequest& request) : world_(world), request_(request) {}

  /// run(log): with everything that is listed, which goes to the rates; and so does rest(log, seconds beside that).
  template <class Run, class Rest>
  void repeat(int64_t tokens, Rates& rates, const Run& run, const Rest& rest) {
    // What is long needs no warming up, and fewer turns.
    const double expected = seconds_per_token_ * static_cast<double>(tokens);
    if (expected > kMostSeconds) return;
    const bool is_long = expected > kShortSeconds;
    std::vector<WorkLog> logs;
    for (int i = is_long ? kCalibrationRepetitions - 1 : 0; i <= kCalibrationRepetitions; ++i) {
      if (request_.poll) request_.poll();
      world_.barrier();
      WorkLog log;
      const double begin = seconds_now();
      run(log);
      const double seconds = seconds_now() - begin;
      log.push_back(rest(log, std::max(1e-9, seconds - total(log))));
      if (i > 0) logs.push_back(std::move(log));
      seconds_per_token_ = world_.all_reduce_one(seconds, ReduceOp::max) / static_cast<double>(tokens);
    }
    rates.add(median_log(std::move(logs)));
  }

 private:
  Communicator& world_;
  const CalibrationRequest& request_;
  double seconds_per_token_ = 0;
};

}  // namespace

void time_scoring(Communicator& world, Communicator& group, const CalibrationRequest& request,
                  const ModelConfig& config, DType operand, Rates& rates) {
  const DecoderLimits limits{.max_tokens = kBatchTokens, .max_record = config.max_positions};
  Engine engine(
      config, random_model,
      {operand, request.threads, limits, kCalibratedExchangeBytes, request.device.device, request.device.index}, group);
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
    // Of a group what lies between ops has the waiting for each other in it.
    repetition.repeat(sizes.tokens, rates, run, [&](const WorkLog& log, double seconds) {
      return group.size() > 1 ? WorkDone{}
                              : WorkDone{work_between(log.size(), sizes.tokens, config.hidden_size), seconds};
    });
  }
}

TrainMemoryRequest training_shape(const CalibrationRequest& request, DType operand, int ranks, int64_t tokens) {
  const int64_t of_slice = (tokens + kCalibratedSlices - 1) / kCalibratedSlices;
  return {.operand = operand,
          .world_size = ranks,
          .ep = ranks,
          .threads = request.threads,
          .num_slices = kCalibratedSlices * ranks,
          .rank_tokens = tokens,
          .slice_tokens = of_slice,
          .longest = of_slice,
          .batch_tokens = kBatchTokens,
          .exchange_bytes = kCalibratedExchangeBytes,
          .keep_products = true};
}

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
    const int64_t records = std::max<int64_t>(1, sizes.tokens / sizes.length / kCalibratedSlices);
    for (int64_t slice = 0; slice < batch.slices.count(); ++slice) {
      batch.begin_slice();
      for (int64_t i = 0; i < records; ++i) batch.add(random_tokens(random, sizes.length + 1, config.vocab_size), 1);
    }
    batch.end();
    batch.step_tokens = batch.batch.tokens() * group.size();
    batch.step_targets = std::ssize(batch.row) * group.size();
    double updating = 0, waited = 0;
    const auto run = [&](WorkLog& log) {
      const double before = trainer.seconds().update, waited_before = trainer.exchange_counters().total_times().wait;
      batch.step = ++step;
      trainer.list_works(&log);
      trainer.step(batch, 1e-4);
      trainer.list_works(nullptr);
      updating = trainer.seconds().update - before;
      waited = trainer.exchange_counters().total_times().wait - waited_before;
      log.push_back({work_of_update(trainer.model()), updating});
    };
    repetition.repeat(batch.batch.tokens(), rates, run, [&](const WorkLog&, double seconds) {
      return WorkDone{work_of_sums(trainer.model()), std::max(1e-9, seconds - waited)};
    });
  }
}

}  // namespace switchyard
