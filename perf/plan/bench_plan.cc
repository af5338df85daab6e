// By kind of work, what a batch takes against what a profile says it takes: where a prediction is off.
// usage: bench_plan score|train PROFILE MODEL THREADS f32|bf16 TOKENS LENGTH [REPETITIONS] -- a line per kind, on one
// rank.
#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <numeric>

#include "base/stopwatch.h"
#include "plan/listed_steps.h"
#include "plan/price_list.h"
#include "plan/works.h"
#include "train/trainer.h"

namespace switchyard::bench {
namespace {

struct Kind {
  double taken = 0, predicted = 0;
};

struct Setting {
  std::filesystem::path model;
  int threads;
  DType operand;
  int64_t tokens, length;
};

/// What has been taken, by kind of work.
class Comparison {
 public:
  Comparison(const Profile& profile, int threads) : prices_(profile, {.ranks_on_host = 1, .threads = threads}) {}

  void add(const WorkLog& log, double seconds) {
    all_.taken += seconds;
    for (const WorkDone& done : log) {
      const double price = prices_.seconds_of(done.work);
      Kind& kind = kinds_[done.work.name];
      kind.taken += done.seconds;
      kind.predicted += price;
      all_.predicted += price;
    }
  }
  void print() const {
    for (const auto& [name, kind] : kinds_) line(name, kind);
    line("all", all_);
  }

 private:
  static void line(const std::string& name, const Kind& kind) {
    fmt::print("{:24} {:8.3f} s  predicted {:8.3f} s  {:+6.1f} %\n", name, kind.taken, kind.predicted,
               kind.taken > 0 ? 100 * (kind.predicted / kind.taken - 1) : 0);
  }
  PriceList prices_;
  std::map<std::string, Kind> kinds_;
  Kind all_;
};

std::vector<int32_t> ids(int64_t count, int64_t seed, int64_t vocab) {
  std::vector<int32_t> ids;
  for (int64_t t = 0; t < count; ++t) ids.push_back(static_cast<int32_t>((seed + t) * 7919 % vocab));
  return ids;
}

void score(Comparison& comparison, const Setting& s, int repetitions) {
  const ModelConfig config = read_model_config(s.model);
  const std::unique_ptr<Communicator> self = make_self_communicator();
  const DecoderLimits limits{.max_tokens = s.tokens, .max_record = s.length};
  Engine engine(config, checkpoint_weights(s.model), {s.operand, s.threads, limits, int64_t{256} << 20}, *self);
  Batch batch;
  while (batch.tokens() + s.length <= s.tokens) batch.add(ids(s.length, batch.tokens(), config.vocab_size));
  std::vector<int32_t> row(batch.ids.size());
  std::iota(row.begin(), row.end(), 0);
  for (int i = 0; i <= repetitions; ++i) {
    WorkLog log;
    engine.list_works(&log);
    const double begin = seconds_now();
    const ArenaScope scope(engine.arena());
    const View states = engine.decoder().forward(engine.stream(), engine.arena(), batch);
    engine.decoder().score(engine.stream(), engine.arena(), states, row, batch.ids);
    if (i > 0) comparison.add(log, seconds_now() - begin);
  }
}

void train(Comparison& comparison, const Setting& s, int repetitions) {
  constexpr int64_t kSlices = 8;
  const ModelConfig config = read_model_config(s.model);
  const std::unique_ptr<Communicator> self = make_self_communicator();
  TrainerOptions options;
  options.shape = {.operand = s.operand,
                   .threads = s.threads,
                   .num_slices = kSlices,
                   .rank_tokens = s.tokens,
                   .slice_tokens = s.tokens / kSlices,
                   .longest = s.length,
                   .batch_tokens = 8192,
                   .exchange_bytes = int64_t{256} << 20,
                   .keep_products = true};
  Trainer trainer(*self, config, options);
  trainer.load(s.model);
  StepBatch batch(trainer.ranks().slices());
  for (int64_t slice = 0; slice < kSlices; ++slice) {
    batch.begin_slice();
    for (int64_t first = 0; first + s.length <= s.tokens / kSlices; first += s.length)
      batch.add(ids(s.length + 1, slice * s.tokens + first, config.vocab_size), 1);
  }
  batch.end();
  batch.step_tokens = batch.batch.tokens();
  batch.step_targets = std::ssize(batch.row);
  for (int i = 0; i <= repetitions; ++i) {
    WorkLog log;
    trainer.list_works(&log);
    batch.step = i + 1;
    const double begin = seconds_now(), before = trainer.seconds().update;
    trainer.step(batch, 1e-4);
    const double seconds = seconds_now() - begin, update = trainer.seconds().update - before;
    double rest = seconds - update;
    for (const WorkDone& done : log) rest -= done.seconds;
    log.push_back({work_of_update(trainer.model()), update});
    log.push_back({work_of_sums(trainer.model()), rest});
    if (i > 0) comparison.add(log, seconds);
  }
}

}  // namespace
}  // namespace switchyard::bench

int main(int argc, char** argv) {
  using namespace switchyard;
  if (argc < 8) {
    fmt::print(stderr, "usage: bench_plan score|train PROFILE MODEL THREADS f32|bf16 TOKENS LENGTH [REPETITIONS]\n");
    return 64;
  }
  const Profile profile = read_profile(argv[2]);
  const bench::Setting setting{argv[3], std::atoi(argv[4]), std::string(argv[5]) == "bf16" ? DType::bf16 : DType::f32,
                               std::atoll(argv[6]), std::atoll(argv[7])};
  bench::Comparison comparison(profile, setting.threads);
  const int repetitions = argc > 8 ? std::atoi(argv[8]) : 3;
  if (std::string(argv[1]) == "train")
    bench::train(comparison, setting, repetitions);
  else
    bench::score(comparison, setting, repetitions);
  comparison.print();
  return 0;
}
