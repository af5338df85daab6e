#include "run/settle.h"

#include <cstdlib>
#include <ctime>

#include "io/file.h"
#include "io/json.h"
#include "run/attempt_log.h"
#include "run/attempts.h"
#include "run/lease.h"
#include "run/stop.h"
#include "run/watchdog.h"

namespace switchyard {
namespace {

/// Codes that this program ends with when trying again is of no use.
bool is_final(int rc) {
  switch (static_cast<ExitCode>(rc)) {
    case ExitCode::usage:
    case ExitCode::too_many_rejects:
    case ExitCode::input:
    case ExitCode::environment:
    case ExitCode::internal:
    case ExitCode::output:
    case ExitCode::mismatch:
      return true;
    default:
      return rc == 126 || rc == 127;  // no such program
  }
}

/// Whether the lease's holder is this job, or a process of this host that is gone.
bool is_ours(const LeaseHolder& holder) {
  const LeaseHolder self = LeaseHolder::self();
  if (!holder.job.empty() || !self.job.empty()) return holder.job == self.job && holder.restart <= self.restart;
  return is_gone(holder);
}

/// What the run directory and srun say about the attempt that has just ended.
class Settler {
 public:
  Settler(const RunDirectory& run, int rc, const StopCause& who_stopped)
      : run_(run), rc_(rc), who_stopped_(who_stopped) {
    // Under Slurm the script knows the attempt's name, even if the attempt died before it began.
    const std::string name = slurm_attempt_name();
    attempt_ = name.empty() ? last_attempt(run_) : run_.attempts_path() / name;
    for (const AttemptRecord& attempt : list_attempts(run_))  // a script may start several, the last is meant
      if (!name.empty() && attempt.name().starts_with(name + ".")) attempt_ = attempt.path;
    const std::optional<RunState> state = run_.find_state();
    if (state) state_ = *state;
    wrote_state_ = state && !attempt_.empty() && state->attempt == attempt_.filename();
    was_told_to_stop_ = wrote_state_ && state->status == RunStatus::interrupted;
    was_complete_ = state && state->status == RunStatus::complete;
    if (const auto holder = read_lease_holder(run_.lease_path())) lease_nonce_ = holder->nonce;
  }

  Settlement settle() {
    begin_if_it_never_did();
    mend();
    add_cause();
    Settlement settlement = decide();
    // A successor may have begun meanwhile.
    const auto holder = read_lease_holder(run_.lease_path());
    if (holder && holder->nonce != lease_nonce_) return {false, "the run goes on in " + holder->describe()};
    run_.write_state(state_);
    std::error_code ignored;
    std::filesystem::remove(run_.lease_path(), ignored);
    record_end(settlement);
    return settlement;
  }

 private:
  /// An attempt that died before it could begin counts as well.
  void begin_if_it_never_did() {
    std::error_code unknown;  // if it cannot be told, writing it says why
    if (attempt_.empty() || std::filesystem::exists(attempt_ / "start.json", unknown)) return;
    begin_attempt(run_);
  }

  void mend() {
    if (was_complete_) return;
    const std::string verdict = attempt_.empty() ? std::string() : read_verdict(attempt_ / "hang");
    if (!verdict.empty()) {
      set(RunStatus::interrupted, ExitCode::timeout, verdict);
    } else if (wrote_state_ && (state_.status == RunStatus::interrupted || state_.status == RunStatus::failed)) {
      return;  // as it said itself
    } else if (is_final(rc_) && !is_interrupted_after_all()) {
      const std::string error = attempt_.empty() ? std::string() : last_error(attempt_);
      set(RunStatus::failed, static_cast<ExitCode>(rc_), error.empty() ? fmt::format("srun returned {}", rc_) : error);
    } else if (const std::string why = told_why(); !why.empty()) {
      set(RunStatus::interrupted, ExitCode::interrupted, why);
    } else {
      const std::string said = attempt_.empty() ? std::string() : srun_error(attempt_);
      set(RunStatus::interrupted, ExitCode::interrupted,
          fmt::format("the attempt ended without a word (srun returned {}{})", rc_, said.empty() ? "" : ": " + said));
    }
    const UnitCounts done = run_.units_present();
    state_.units_done = done.units;
    state_.items_done = done.items;
  }

  /// Of an attempt that stopped in order before it could write a state; empty: of another.
  std::string told_why() const {
    if (attempt_.empty() || rc_ != static_cast<int>(ExitCode::interrupted)) return "";
    return last_error(attempt_);
  }

  /// What an attempt that was told to stop cannot know: by whom.
  void add_cause() {
    if (state_.status != RunStatus::interrupted || state_.exit_code != static_cast<int>(ExitCode::interrupted)) return;
    const std::string why = who_stopped_ ? who_stopped_(attempt_, was_told_to_stop_) : "";
    const std::string words = why.empty() ? "" : fmt::format(" ({})", why);
    if (!state_.message.ends_with(words)) state_.message += words;
  }

  void record_end(const Settlement& settlement) const {
    if (attempt_.empty()) return;
    Json end = {{"rc", rc_},
                {"exit_code", state_.exit_code},
                {"requeue", settlement.requeue},
                {"message", state_.message},
                {"time", static_cast<int64_t>(std::time(nullptr))}};
    if (const char* nodes = std::getenv("SLURM_JOB_NUM_NODES")) end["nodes"] = std::atoll(nodes);
    write_file_atomically(attempt_ / "end.json", to_text(end) + "\n");
  }

  /// An attempt that had begun and did not say that it failed was killed: srun's code is a rank's signal then.
  bool is_interrupted_after_all() const { return wrote_state_ && rc_ > 128; }

  void set(RunStatus status, ExitCode code, std::string message) {
    state_.status = status;
    state_.exit_code = static_cast<int>(code);
    state_.attempt = attempt_.filename().native();
    state_.message = std::move(message);
    state_.as_planned = false;
  }

  Settlement decide() {
    if (state_.status != RunStatus::interrupted)
      return {false, fmt::format("the run is {}{}", name_of(state_.status),
                                 state_.message.empty() ? std::string() : ": " + state_.message)};
    if (state_.as_planned) return {false, state_.message};
    if (const int64_t fruitless = fruitless_attempts(run_); fruitless >= kMaxFruitlessAttempts) {
      const std::string why = fmt::format("{} attempts in a row finished none of the {}", fruitless, state_.units);
      if (!state_.message.starts_with(why)) state_.message = fmt::format("{}; the last: {}", why, state_.message);
      return {false, state_.message};
    }
    return {true, state_.message};
  }

  const RunDirectory& run_;
  const int rc_;
  const StopCause& who_stopped_;
  std::filesystem::path attempt_;
  RunState state_;
  std::string lease_nonce_;        ///< as it was found
  bool wrote_state_ = false;       ///< the attempt in question wrote the state that is there
  bool was_told_to_stop_ = false;  ///< and says so there: what ended without a word had other reasons
  bool was_complete_ = false;
};

}  // namespace

Settlement settle(const RunDirectory& run, std::optional<int> rc, const StopCause& who_stopped) {
  const auto holder = read_lease_holder(run.lease_path());
  if (rc && holder && !is_ours(*holder))  // without a code: whether that one still lives, the next attempt finds out
    return {false, fmt::format("the run directory is in the hands of {}", holder->describe())};
  // A command that does not fit the run says nothing about the run.
  const std::optional<RunState> state = run.find_state();
  if (rc == static_cast<int>(ExitCode::mismatch) && state) return {false, last_error(last_attempt(run))};
  if (rc) return Settler(run, *rc, who_stopped).settle();
  if (!state) return {true, "nothing is said to be done yet"};
  const bool over = state->status == RunStatus::complete || state->status == RunStatus::failed;
  if (over) return {false, fmt::format("the run is {}", name_of(state->status))};
  const std::vector<AttemptRecord> attempts = list_attempts(run);
  if (!attempts.empty() && attempts.back().stopped) return {false, state->message};
  return {true, fmt::format("the run is {}", name_of(state->status))};
}

}  // namespace switchyard
