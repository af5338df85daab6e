// One attempt at a run, by all ranks of a job: takes the run directory, works under its lease, tells how far it is, and
// leaves the run so that the next attempt goes on from there. Every job that can be resumed has one; its loop is its
// own:
//
//   Attempt attempt(world, pulse, options, config);
//   return attempt.run([&] {
//     attempt.take(units, known);  attempt.begin();  …  attempt.identify(fingerprint, info);
//     attempt.resume(done);
//     for (unit of attempt.pending(group, groups)) { if told to stop: break;  …  attempt.publish(unit, write); }
//     return attempt.finish(stream, units_done, complete);
//   });
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/pulse.h"
#include "comm/communicator.h"
#include "run/lease.h"
#include "run/progress.h"
#include "run/run_directory.h"
#include "run/stop.h"
#include "run/watchdog.h"

namespace switchyard {

class Attempt {
 public:
  struct Options {
    std::filesystem::path run;
    std::chrono::seconds lease_timeout{60};  ///< how long a lease is watched before it is taken over
    std::chrono::seconds comm_timeout{300};  ///< without progress, until ranks that do not arrive are named; 0: never
    std::chrono::seconds term_grace{20}, limit_grace{120};  ///< see SignalWatch
    bool quiet = false;
  };

  /// config: of every option, for the run directory. Signals are heard from here on.
  Attempt(Communicator& world, Pulse& pulse, Options options, std::string config);
  ~Attempt();

  /// Runs the body. What it throws is written into the run's state, if the run is this attempt's to speak of, and
  /// thrown on; one that was refused before it began leaves no trace.
  ExitCode run(const std::function<ExitCode()>& body);

  // Entering. All of these are collective over the world, and fail on all ranks alike.

  /// The directory and its lease. units: for their names and folder; how many there are may not be known yet.
  void enter(const WorkUnits& units);
  /// Enters, unless that is done. Compares what is known so far with a manifest that is there (mismatch).
  void take(const WorkUnits& units, const Fingerprint& known);
  /// The attempt's folder, and the watchdog over all ranks. disk_bytes: what the run may need in all (output).
  void begin(uint64_t disk_bytes);
  /// Writes the manifest, or compares it (mismatch). From here on a peer that is lost interrupts the run.
  void identify(const Fingerprint& fingerprint, const Json& info);
  /// What is done already, as rank 0 has found it.
  void resume(const std::vector<int64_t>& done);

  // Working.

  /// Of the units that are not done every `num_groups`-th from `group` on.
  std::vector<int64_t> pending(int64_t group, int64_t num_groups) const;
  int64_t num_resumed() const { return units_.total - static_cast<int64_t>(pending_.size()); }
  double seconds() const;  ///< since resume()

  SignalWatch& signals() { return *signals_; }
  /// Beats; fails (interrupted) if told to stop: from long steps where a rank may still walk away, before the first
  /// unit.
  void get_on_or_give_up() const;
  /// Whether what can still be stopped shall be: on request, or so that `reserve` seconds are left before the time
  /// limit.
  bool time_is_up(double reserve) const;
  std::string_view why_stopped() const;
  /// The run ends here for now because its options say so ("after step 5, as --stop-after says"): nobody requeues it.
  void plan_stop(std::string why) { planned_stop_ = std::move(why); }

  /// A unit's file: written under another name, published under the lease.
  void publish(int64_t unit, const std::function<void(const std::filesystem::path&)>& write) const;
  /// Fails (mismatch) where another attempt has taken the run: before anything of it is put in place.
  void check_lease_held() const;
  /// Rank 0's: the state every few seconds, and the progress line when it is due. in_flight: items of units under way,
  /// by all groups. details: the job's own words.
  void tell(int64_t in_flight, const std::function<std::string()>& details);

  // Leaving.

  /// The world meets. Collective: units_done are those that this rank has published. Rank 0 calls `complete` if all
  /// units of the run are done: it makes the results of them, and says with what code the run is complete, or that it
  /// is interrupted. The same code on all ranks.
  ExitCode finish(const Stream& stream, int64_t units_done, const std::function<ExitCode()>& complete);
  /// After the last collective operation of the job: nobody is waited for any more.
  void leave();

  void write_state(RunStatus status, ExitCode code, std::string message) const;  ///< of the holder of the lease
  /// The run is: rank 0 writes it. The code says whether more was rejected than may be.
  ExitCode complete(int64_t max_rejects) const;
  void set_rejects(int64_t rejects) { rejects_ = rejects; }
  int64_t rejects() const { return rejects_; }

  const RunDirectory& directory() const { return directory_; }
  const WorkUnits& units() const { return units_; }
  const std::string& lease_nonce() const { return nonce_; }
  double seconds_worked() const { return work_seconds_; }  ///< from resume() until the world has met
  double seconds_waited() const { return wait_seconds_; }  ///< for that, of them

 private:
  bool on_root() const { return world_.rank() == 0; }
  bool is_complete() const;
  bool has_failed() const;
  ProgressReport report_progress(int64_t in_flight, std::string details) const;
  void record_failure(const Error& error) noexcept;
  void leave_no_trace() noexcept;
  void end_hung(const std::string& verdict, bool reporter) const noexcept;

  Communicator& world_;
  Pulse& pulse_;
  const Options options_;
  const std::string config_;
  const RunDirectory directory_;
  std::optional<SignalWatch> signals_;
  WorkUnits units_;
  std::unique_ptr<Lease> lease_;  ///< rank 0
  std::string nonce_;             ///< all ranks
  bool made_directory_ = false;   ///< rank 0: it was not there before
  std::filesystem::path folder_;  ///< of this attempt; empty before begin()
  std::vector<int64_t> pending_;
  std::string planned_stop_;
  bool at_work_ = false;  ///< the run is known to be this attempt's
  int64_t rejects_ = 0, in_flight_ = 0;
  double start_ = 0, told_at_ = 0, tell_seconds_ = 0, work_seconds_ = 0, wait_seconds_ = 0;
  std::optional<Progress> progress_;
  std::optional<Watchdog> watchdog_;
};

}  // namespace switchyard
