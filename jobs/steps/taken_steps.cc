#include "jobs/steps/taken_steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/log.h"
#include "base/stopwatch.h"
#include "base/text.h"
#include "comm/collectively.h"

namespace switchyard {

TakenSteps::TakenSteps(Communicator& world, Pulse& pulse, Attempt& attempt, PassEngine& engine, const Fingerprint& run,
                       const Options& options)
    : world_(world),
      pulse_(pulse),
      attempt_(attempt),
      options_(options),
      checkpoints_(attempt.directory().root(), engine.model(), fingerprint_hash(run)) {
  pulse_.phase("finding what is done");
  const auto found = checkpoints_.restore(engine.stream(), [&] { attempt_.get_on_or_give_up(); });
  if (found) notes_ = *found;
  saved_ = notes_.step;
}

void TakenSteps::resume() {
  std::vector<int64_t> done(static_cast<size_t>(saved_));
  std::iota(done.begin(), done.end(), 0);
  attempt_.resume(done);
}

double TakenSteps::save_seconds(double bytes_per_second) const {
  if (last_save_seconds_ > 0) return last_save_seconds_;
  return static_cast<double>(checkpoints_.bytes_each()) / bytes_per_second;
}

bool TakenSteps::may_go_on(double seconds_more) {
  const StopDecision decision = agree_on_stopping(attempt_.signals(), world_, world_);
  if (decision.stop) return false;
  return !decision.seconds_left || *decision.seconds_left > 2 * step_seconds_ + seconds_more + 2 * save_seconds(1e8);
}

void TakenSteps::take(double seconds, int64_t tokens, double loss) {
  ++notes_.step;
  tokens_ += tokens;
  loss_ = loss;
  step_seconds_ = world_.all_reduce_one(seconds, ReduceOp::max);
}

void TakenSteps::tell() {
  attempt_.tell((notes_.step - saved_) * options_.step_records, [&] {
    const double seconds = std::max(1e-9, attempt_.seconds());
    return fmt::format("loss {:.4f} | {} tok/s", loss_, rate_text(static_cast<double>(tokens_) / seconds));
  });
}

void TakenSteps::save(const std::function<void()>& first) {
  if (all_saved()) return;
  pulse_.phase("writing a checkpoint");
  const double begin = seconds_now();
  if (first) first();
  checkpoints_.save(
      notes_, [&] { attempt_.check_lease_held(); }, [&] { pulse_.beat(); });
  saved_ = notes_.step;
  collectively(world_, [&] {
    if (world_.rank() == 0) checkpoints_.prune(notes_, options_.save_steps, options_.save_total_limit);
  });
  last_save_seconds_ = world_.all_reduce_one(seconds_now() - begin, ReduceOp::max);
  pulse_.phase(options_.phase);
}

bool TakenSteps::save_fits() {
  const double expected = save_seconds(1e9);
  const double left = world_.all_reduce_one(attempt_.signals().seconds_left().value_or(1e9), ReduceOp::min);
  if (expected < 0.8 * left) return true;
  log::warning("steps {} to {} are lost: a checkpoint takes about {:.1f} s, and {:.1f} s are left", saved_ + 1,
               notes_.step, expected, left);
  return false;
}

}  // namespace switchyard
