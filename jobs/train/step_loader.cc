#include "jobs/train/step_loader.h"

#include <algorithm>
#include <numeric>

#include "comm/collectively.h"
#include "train/parameters/step_slices.h"

namespace switchyard {
namespace {

template <class Tokens>
std::vector<int64_t> tokens_of(const Tokens& tokens, std::span<const RecordPlace> records) {
  std::vector<int64_t> all;
  for (const RecordPlace& place : records) all.push_back(tokens(place));
  return all;
}

}  // namespace

StepBatch StepLoader::load(int64_t step) const {
  const std::vector<RecordPlace> records = order_.records(step);
  const std::vector<int64_t> tokens =
      tokens_of([this](const RecordPlace& place) { return data_.tokens(place); }, records);
  const std::vector<int64_t> ends = cut_into_slices(tokens, ranks_.num_slices());
  StepBatch part(ranks_.slices());
  part.step = step;
  part.step_tokens = std::accumulate(tokens.begin(), tokens.end(), int64_t{0});
  collectively(ranks_.world(), [&] {
    for (int64_t s = part.slices.first; s < part.slices.end; ++s) {
      part.begin_slice();
      for (int64_t r = ends[static_cast<size_t>(s)]; r < ends[static_cast<size_t>(s) + 1]; ++r) {
        const TrainingRecord record = data_.read(records[static_cast<size_t>(r)]);
        part.add(record.tokens, record.context);
      }
    }
    part.end();
  });
  part.step_targets = ranks_.world().all_reduce_one(std::ssize(part.row), ReduceOp::sum);
  return part;
}

StepSizes largest_step(const std::function<int64_t(const RecordPlace&)>& tokens_of_record, const DataOrder& order,
                       int64_t steps, int64_t slices, int ranks) {
  StepSizes most;
  for (int64_t step = 1; step <= steps; ++step) {
    const std::vector<int64_t> tokens = tokens_of(tokens_of_record, order.records(step)),
                               ends = cut_into_slices(tokens, slices);
    std::vector<int64_t> before{0};
    for (const int64_t count : tokens) before.push_back(before.back() + count);
    const auto tokens_in = [&](const SliceRange& range) {
      return before[static_cast<size_t>(ends[static_cast<size_t>(range.end)])] -
             before[static_cast<size_t>(ends[static_cast<size_t>(range.first)])];
    };
    most.record_tokens = std::max(most.record_tokens, std::ranges::max(tokens));
    for (int64_t s = 0; s < slices; ++s) most.slice_tokens = std::max(most.slice_tokens, tokens_in({s, s + 1}));
    for (int r = 0; r < ranks; ++r)
      most.rank_tokens = std::max(most.rank_tokens, tokens_in(slices_of_rank(slices, r, ranks)));
  }
  return most;
}

}  // namespace switchyard
