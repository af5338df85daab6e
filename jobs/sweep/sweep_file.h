// SWEEP.cfg: lines of   name = value   over any option of `train`, of which some have several values to try.
//
//   freeze = [0.9, 0.95]                             swept
//   data = [[a.jsonl, b.jsonl], c.jsonl]             swept: the first value is two files
//   seed = [1, 2, 3]                                 repetitions of one and the same
//   max-steps = 300                                  of every point
//   let origin = [2007, 2008]                        no option, but {origin} in values stands for it
//   eval-data = held-{origin}.h5                     {NAME}: a let, an option of one value, or the {point}'s folder
//   mode = grid | random N [SEED] | list             all combinations, some of them, or item by item
//   then = score --input old.h5 --run old            a run after the training, with the model that this made
//   metric = old.loss                                what is ranked
//   better = lower | higher
//   retention = old.loss                             what is kept of old data
//   adaptation = new.loss                            what is learnt of new data
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/study/study.h"

namespace switchyard {

struct SweptOption {
  std::string name;
  bool is_variable = false;          ///< no option of the training
  std::vector<OptionValues> values;  ///< at least one
};

/// A run that follows a point's training, with options of its own.
struct FollowUp {
  std::string job, name;  ///< "score", "old": its folder, and the first part of its metrics' names
  std::map<std::string, OptionValues> options;
};

enum class SweepMode : uint8_t { grid, random, list };

struct SweepFile {
  std::map<std::string, OptionValues> fixed;
  std::map<std::string, std::string> variables;  ///< that have the same value at every point
  std::vector<SweptOption> swept;                ///< in the order of the file; may be none
  SweepMode mode = SweepMode::grid;
  int64_t random_points = 0;  ///< how many of the grid's
  uint64_t random_seed = 0;
  std::vector<FollowUp> then;
  std::string metric, retention, adaptation;  ///< empty: the default one; none
  bool lower_is_better = true;

  /// Every field as text, by name: what two files must have in common to be one sweep.
  std::map<std::string, std::string> fields() const;
};

/// Fails (usage) naming `subject`, the line and what is wrong: an unknown option (with the one that may be meant), a
/// value that is none of its option's, a {NAME} that stands for nothing, an empty list, a line that comes again, lists
/// of unlike lengths in mode list.
SweepFile parse_sweep(std::string_view text, std::string_view subject, std::span<const JobEntry> jobs);

}  // namespace switchyard
