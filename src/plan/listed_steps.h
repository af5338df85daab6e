// What ranks do in a step, without doing it: the code itself runs on shapes alone and lists its work.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/work.h"
#include "model/layout.h"
#include "train/train_memory.h"

namespace switchyard {

/// A record of a batch: so many tokens, the last `scored` of which are.
struct PlannedRecord {
  int64_t length = 0, scored = 0;
};

/// Which ranks stand for all: the one with most tokens, and some with fewer, evenly. tokens: [ranks]
std::vector<size_t> some_ranks(std::span<const int64_t> tokens, size_t most);
int64_t total_length(std::span<const PlannedRecord> records);

/// Of an expert group that scores.
class ScoringSteps {
 public:
  /// share: [layers, experts] of a layer's assignments; empty: all alike.
  ScoringSteps(const ModelConfig& config, const Layout& layout, std::vector<double> share);
  ~ScoringSteps();

  /// records: [ranks of the group]. Of at most kMostListed ranks, the one with most tokens among them.
  std::vector<WorkLog> list(std::span<const std::vector<PlannedRecord>> records);
  static constexpr size_t kMostListed = 8;

 private:
  struct Rank;
  const ModelConfig& config_;
  const Layout layout_;
  const std::vector<double> share_;
  std::vector<std::unique_ptr<Rank>> ranks_;
};

/// One rank of a world that trains. records: of its slices, [slices][records of each].
WorkLog list_training_step(const ModelConfig& config, const TrainMemoryRequest& shape, int rank, int64_t step_tokens,
                           std::span<const std::vector<PlannedRecord>> records);

}  // namespace switchyard
