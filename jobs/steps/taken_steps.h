// The steps of an attempt, whatever it is that a step does: those that are done, which of them a checkpoint holds, and
// whether there is time for another and its checkpoint before the job's end.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "run/attempt.h"
#include "train/checkpoints/checkpoints.h"
#include "train/pass_engine.h"

namespace switchyard {

/// All that does something is collective over the world, but for tell().
class TakenSteps {
 public:
  struct Options {
    const char* phase = "";                        ///< of the pulse, while steps are taken
    int64_t step_records = 1;                      ///< items of the run in a step
    int64_t save_steps = 0, save_total_limit = 1;  ///< see Checkpoints::prune()
  };

  /// Begins with what the newest checkpoint of the run holds. Fails (input).
  TakenSteps(Communicator& world, Pulse& pulse, Attempt& attempt, PassEngine& engine, const Fingerprint& run,
             const Options& options);

  void resume();  ///< the attempt goes on from there

  /// Of the newest step.
  const CheckpointNotes& notes() const { return notes_; }
  CheckpointNotes& notes() { return notes_; }
  int64_t newest() const { return notes_.step; }
  int64_t saved() const { return saved_; }  ///< the newest step that a checkpoint holds
  bool all_saved() const { return saved_ == notes_.step; }
  int64_t saved_here() const { return saved_ - attempt_.num_resumed(); }  ///< steps that this attempt has added
  int64_t tokens() const { return tokens_; }                              ///< that went through the model in it
  double step_seconds() const { return step_seconds_; }                   ///< of the newest, on the slowest rank

  /// Whether there is time for another step, so many seconds more, and a checkpoint; as if the disk took 100 MB a
  /// second where no time was measured yet.
  bool may_go_on(double seconds_more = 0);
  /// The step after the newest is done; seconds: of this rank.
  void take(double seconds, int64_t tokens, double loss);
  /// Rank 0 tells, when it is due, how far the run is.
  void tell();
  bool is_time_to_save() const { return options_.save_steps > 0 && notes_.step % options_.save_steps == 0; }
  /// Writes a checkpoint of the newest step, if there is none. first: what belongs to that and comes before it.
  void save(const std::function<void()>& first = {});
  /// Whether a checkpoint still fits before the job's end; if not, says what is lost. Without a measured time as if the
  /// disk took 1 GB a second: what is not tried is lost as well.
  bool save_fits();

 private:
  /// Seconds: the last one's or, before there is one, at so many bytes a second.
  double save_seconds(double bytes_per_second) const;

  Communicator& world_;
  Pulse& pulse_;
  Attempt& attempt_;
  const Options options_;
  Checkpoints checkpoints_;
  CheckpointNotes notes_;
  int64_t saved_ = 0, tokens_ = 0;
  double step_seconds_ = 0, last_save_seconds_ = 0, loss_ = 0;  ///< of the last one
};

}  // namespace switchyard
