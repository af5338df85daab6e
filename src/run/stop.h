// Stopping in time: signals, the job's end, and the agreement of all ranks.
#pragma once

#include <chrono>
#include <optional>

#include "comm/communicator.h"

namespace switchyard {

/// For the time before a SignalWatch, from the start of the process: SIGUSR1, SIGTERM and SIGINT end it at once with
/// exit code 75. Nothing was begun that could be lost.
void end_on_signals();

/// What SIGUSR1 (the time limit is near), SIGTERM and SIGINT have asked of this process so far. One object per process.
///
/// The first TERM or INT gives `term_grace` to stop in. USR1 gives until shortly before the job's end to go on in, or
/// `limit_grace` when Slurm does not tell it. The same signal within 5 s counts once; the next drops the chunk, a third
/// ends the process at once with exit code 75. The handlers stay when the watch is gone: the process then ends with its
/// own exit code, not a signal's.
class SignalWatch {
 public:
  SignalWatch(std::chrono::seconds term_grace, std::chrono::seconds limit_grace);
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  enum Request : int { none = 0, limit_near = 1, terminate = 2, drop = 3 };
  Request request() const;
  /// As if the signal behind `request` had come to this process: another rank told us.
  void accept(Request request);
  /// Seconds left to go on or to stop in; empty while nothing was asked.
  std::optional<double> seconds_left() const;

 private:
  double seconds_to_limit() const;

  std::chrono::seconds term_grace_, limit_grace_;
};

/// Seconds until Slurm ends the job, negative once that is over; empty when it does not say.
std::optional<double> seconds_to_job_end();

/// What the ranks of a group do next. The same on all of them.
struct StopDecision {
  bool stop = false;  ///< start no further chunk
  bool drop = false;  ///< give up the current one as well
  /// The least of all ranks. Without `stop`: a time limit is near, and what fits is done.
  std::optional<double> seconds_left;
};

/// Collective over `group`; passes requests on to all other ranks of `world` by a notice.
StopDecision agree_on_stopping(SignalWatch& watch, Communicator& world, Communicator& group);

/// Waits for all ranks of `world`, still hearing signals meanwhile (a plain barrier would not).
void wait_for_all(SignalWatch& watch, Communicator& world, const Stream& stream);

}  // namespace switchyard
