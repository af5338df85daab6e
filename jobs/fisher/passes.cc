#include "jobs/fisher/passes.h"

#include <algorithm>
#include <utility>

#include "base/rng.h"
#include "base/text.h"
#include "comm/collectively.h"
#include "train/parameters/step_slices.h"

namespace switchyard {

// All records are in the order of their files, some are the first of a random order.
FisherPasses::FisherPasses(const TrainingData& data, const FisherOptions& o, int64_t vocab_size)
    : data_(data),
      exact_(o.is_exact()),
      sampled_(o.labels == "sampled"),
      draws_(o.draws),
      vocab_size_(vocab_size),
      step_records_(o.step_records),
      seed_(static_cast<uint64_t>(o.seed)),
      order_({.sizes = data.sizes(),
              .order = o.max_records > 0 ? RecordOrder::shuffled : RecordOrder::file,
              .seed = static_cast<uint64_t>(o.seed)}) {
  num_records_ = order_.num_records();
  if (o.max_records > 0) num_records_ = std::min(num_records_, o.max_records);
  count_ = num_records_ * draws_;
  if (!exact_) return;
  first_pass_.push_back(0);
  int64_t tokens = 0;
  for (int64_t r = 0; r < num_records_; ++r) {
    const TrainingRecord record = data.read(order_.place(r));
    const auto length = std::ssize(record.tokens);
    context_.push_back(record.context);
    first_pass_.push_back(first_pass_.back() + (length - record.context) * vocab_size_);
    // Position t is predicted from t tokens.
    tokens += vocab_size_ * (length * (length - 1) - record.context * (record.context - 1)) / 2;
    if (tokens > o.exact_limit)
      fail(ExitCode::usage,
           "--labels exact: {} of {} records take {} tokens through the model, each of {} classes at each position by "
           "itself, more than --exact-limit {}: fewer or shorter records, or sampled labels",
           r + 1, num_records_, count_text(tokens), vocab_size_, o.exact_limit);
  }
  count_ = first_pass_.back();
}

FisherPasses::Pass FisherPasses::pass(int64_t index) const {
  if (!exact_) return {order_.place(index / draws_), index % draws_, 0, 0};
  const auto record = std::ranges::upper_bound(first_pass_, index) - first_pass_.begin() - 1;
  const int64_t rest = index - first_pass_[static_cast<size_t>(record)];
  return {order_.place(record), 0, context_[static_cast<size_t>(record)] + rest / vocab_size_, rest % vocab_size_};
}

int64_t FisherPasses::tokens(int64_t index) const {
  const Pass p = pass(index);
  return exact_ ? p.target : data_.tokens(p.place);
}

std::pair<int64_t, int64_t> FisherPasses::of_step(int64_t step) const {
  const int64_t first = (step - 1) * step_records_;
  return {first, std::min(step_records_, count_ - first)};
}

void FisherPasses::add(const Pass& p, StepBatch& batch) const {
  TrainingRecord record = data_.read(p.place);
  if (exact_) {
    record.tokens.resize(static_cast<size_t>(p.target) + 1);
    record.tokens.back() = static_cast<int32_t>(p.label);
    return batch.add(record.tokens, p.target);
  }
  batch.add(record.tokens, record.context);
  const auto key = [](uint64_t seed, int64_t i) { return random_bits(seed, static_cast<uint64_t>(i)); };
  const uint64_t drawn = key(key(key(seed_, p.place.dataset), p.place.record), p.draw);
  for (int64_t i = 0; sampled_ && batch.uniform.size() < batch.row.size(); ++i)
    batch.uniform.push_back(static_cast<double>(key(drawn, i) >> 11) * 0x1p-53);
}

StepBatch FisherPasses::load(int64_t step, const TrainRanks& ranks) const {
  const std::pair<int64_t, int64_t> passes = of_step(step);  // no binding: clang has none in lambdas
  const int64_t first = passes.first, count = passes.second;
  const std::vector<int64_t> ends = a_record_a_slice(count, ranks.num_slices());
  StepBatch part(ranks.slices());
  part.step = step;
  part.by_probability = exact_;
  for (int64_t i = 0; i < count; ++i) part.step_tokens += tokens(first + i);
  collectively(ranks.world(), [&] {
    for (int64_t s = part.slices.first; s < part.slices.end; ++s) {
      part.begin_slice();
      for (int64_t i = ends[static_cast<size_t>(s)]; i < ends[static_cast<size_t>(s) + 1]; ++i)
        add(pass(first + i), part);
    }
    part.end();
  });
  part.step_targets = ranks.world().all_reduce_one(std::ssize(part.row), ReduceOp::sum);
  return part;
}

}  // namespace switchyard
