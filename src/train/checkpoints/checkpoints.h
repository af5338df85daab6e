// RUN/checkpoints/: what a training run goes on from. One is a folder step-NNNNNN, there as a whole or not at all:
// checkpoint.json, which names the files of the state and their hashes, and these.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>

#include "io/json.h"
#include "train/checkpoints/state_files.h"
#include "train/pass/routing_shares.h"

namespace switchyard {

/// What a checkpoint says beside the state itself.
struct CheckpointNotes {
  int64_t step = 0;       ///< steps that have been taken
  int64_t best_step = 0;  ///< of the checkpoints so far that were evaluated, which was best; 0: none was
  double best_loss = 0;   ///< its held-out loss
  std::vector<int64_t> tokens_per_expert = {};  ///< [layers, E] of all steps
  // Of a Fisher pass:
  int64_t targets = 0;
  RoutingShares routing = {};

  void add_tokens(std::span<const int64_t> step);
};

class Checkpoints {
 public:
  /// root: the run's. model: as large as all of its checkpoints, its weights are made by restore(). identity: of the
  /// run; a checkpoint of another one is none.
  Checkpoints(std::filesystem::path root, TrainedModel& model, std::string identity);

  static constexpr std::string_view kFolder = "checkpoints";
  uint64_t bytes_each() const { return files_.bytes(); }

  /// The newest that is whole becomes the model's state and weights; newer ones are set aside, with a line that says
  /// what is wrong with them. Empty where there is none at all. Fails (input) where there are some, but none
  /// is whole. Collective.
  std::optional<CheckpointNotes> restore(const Stream& stream, const std::function<void()>& poll);

  /// Ascending, as rank 0 finds them. Collective.
  std::vector<int64_t> steps() const;
  /// One of them becomes the model's state and weights. Collective; fails (input) on all ranks alike where it is not
  /// whole.
  void restore(const Stream& stream, int64_t step, const std::function<void()>& poll);
  /// Empty, or where the model's state differs from that of a checkpoint, or what is wrong with that, the same on all
  /// ranks. Collective.
  std::string compare(int64_t step, const std::function<void()>& poll) const;

  /// Writes one and publishes it. may_publish: called by rank 0 before that; may fail. Collective. Fails (output) on
  /// all ranks alike, and leaves nothing.
  void save(const CheckpointNotes& notes, const std::function<void()>& may_publish, const std::function<void()>& poll);

  /// Removes all but the newest `limit` (0: of any number) of those at a multiple of save_steps, the best, and the
  /// newest of all. By rank 0 alone.
  void prune(const CheckpointNotes& now, int64_t save_steps, int64_t limit) const;

 private:
  struct Found {
    CheckpointNotes notes;
    std::vector<std::string> hashes;
    std::string fault;
  };
  Found find(int64_t step) const;
  void parse(const std::string& text, const std::string& subject, Found& found) const;
  std::filesystem::path path_of(int64_t step) const;
  std::vector<int64_t> steps_present() const;  ///< ascending

  const std::filesystem::path folder_;
  TrainedModel& model_;
  const StateFiles files_;
  const std::string identity_;
};

}  // namespace switchyard
