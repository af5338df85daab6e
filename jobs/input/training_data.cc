#include "jobs/input/training_data.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "comm/collectively.h"
#include "jobs/input/input_identity.h"

namespace switchyard {
namespace {

constexpr int64_t kIdentityRecords = 4096;  // read by one rank at a time

/// Why a record cannot be scored, judged without its tokens; empty if it can.
std::string why_not(const ScoringInput::Record& record, const TrainingData::Limits& limits) {
  std::string reason = reject_reason(record, limits.max_positions);
  if (reason.empty() && limits.max_tokens > 0 && record.length > limits.max_tokens)
    reason = fmt::format("{} tokens, more than --max-tokens {}", record.length, limits.max_tokens);
  return reason;
}

/// Decides of every record that this rank reads whether it is kept.
class RecordJudge {
 public:
  RecordJudge(const ScoringInput& input, const TrainingData::Limits& limits)
      : limits_(limits), lengths_(static_cast<size_t>(input.num_records()), 0) {}

  void see(const ScoringInput::Record& record, int64_t at, std::span<const int64_t> tokens) {
    if (at == 0) reason_ = why_not(record, limits_);
    if (reason_.empty()) reason_ = reject_reason(tokens, limits_.vocab_size, at);
    if (at + std::ssize(tokens) < record.length) return;
    if (!reason_.empty()) {
      if (rejects_++ == 0) first_reject_ = fmt::format("record {}: {}", record.index, reason_);
    } else if (record.context == record.length) {
      ++nothing_to_score_;
    } else {
      lengths_[static_cast<size_t>(record.index)] = static_cast<int32_t>(record.length);
    }
  }

  /// What all ranks have seen. Collective.
  TrainingData::Dataset dataset(Communicator& world, ScoringInput input, std::span<const ChunkIdentity> chunks) {
    // Of every record all ranks but one have 0.
    if (!lengths_.empty()) world.all_reduce({lengths_.data(), {std::ssize(lengths_)}, DType::i32}, ReduceOp::sum);
    TrainingData::Dataset dataset{.input = std::move(input),
                                  .kept = KeptRecords(std::move(lengths_)),
                                  .rejects = world.all_reduce_one(rejects_, ReduceOp::sum),
                                  .nothing_to_score = world.all_reduce_one(nothing_to_score_, ReduceOp::sum)};
    for (const int32_t length : dataset.kept.lengths()) dataset.tokens += std::max(0, length - 1);
    Hasher hasher;
    for (const Hash128& hash : hashes_of(chunks, &ChunkIdentity::content)) hasher.update(&hash, sizeof hash);
    hasher.update(std::span(dataset.kept.lengths()));
    dataset.hash = hasher.digest();
    // Ranks read the input in their order.
    const std::vector<std::string> first = world.all_gather_strings(first_reject_);
    const auto told = std::ranges::find_if(first, [](const std::string& reject) { return !reject.empty(); });
    collectively(world, [&] {
      if (world.rank() == 0) tell(dataset, told == first.end() ? "" : *told);
    });
    return dataset;
  }

 private:
  static void tell(const TrainingData::Dataset& d, const std::string& first_reject) {
    const std::string path = d.input.path().native();
    const int64_t all = std::ssize(d.kept.lengths());
    const std::string rejects = d.rejects == 0 ? ""
                                               : fmt::format("{} of its {} records are rejected, the first of them {}",
                                                             d.rejects, all, first_reject);
    if (d.kept.size() == 0)
      fail(ExitCode::input, "{}: expected records with tokens to score, found none: {} records, {} of them with {}{}",
           path, all, d.nothing_to_score, "nothing but context", rejects.empty() ? "" : "; " + rejects);
    log::info("{}: {} records with tokens to score, {} tokens, hash {}", path, d.kept.size(), d.tokens, d.hash.hex());
    if (d.nothing_to_score > 0)
      log::info("{}: {} records have nothing but context, and are left out", path, d.nothing_to_score);
    if (!rejects.empty()) log::warning("{}: {}", path, rejects);
  }

  const TrainingData::Limits limits_;
  std::vector<int32_t> lengths_;  ///< of all records; 0: not kept, or not read by this rank
  int64_t rejects_ = 0, nothing_to_score_ = 0;
  std::string reason_, first_reject_;
};

}  // namespace

TrainingData::TrainingData(Communicator& world, std::vector<ScoringInput> inputs, const Limits& limits,
                           const std::function<void()>& poll)
    : limits_(limits) {
  SWITCHYARD_CHECK(limits.max_positions <= INT32_MAX, "records of {} tokens", limits.max_positions);
  for (ScoringInput& input : inputs) {
    RecordJudge judge(input, limits);
    const auto chunks =
        identify_input(world, input, kIdentityRecords, limits.max_positions, poll,
                       [&](const auto& record, int64_t at, auto tokens) { judge.see(record, at, tokens); });
    datasets_.push_back(judge.dataset(world, std::move(input), chunks));
  }
}

std::vector<int64_t> TrainingData::sizes() const {
  std::vector<int64_t> sizes;
  for (const Dataset& d : datasets_) sizes.push_back(d.kept.size());
  return sizes;
}

int64_t TrainingData::rejects() const {
  int64_t rejects = 0;
  for (const Dataset& d : datasets_) rejects += d.rejects;
  return rejects;
}

Hash128 TrainingData::hash() const {
  Hasher hasher;
  for (const Dataset& d : datasets_) hasher.update(&d.hash, sizeof d.hash);
  return hasher.digest();
}

int64_t TrainingData::tokens(const RecordPlace& place) const {
  const KeptRecords& kept = dataset(place).kept;
  return kept.length(kept.index(place.record)) - 1;
}

TrainingRecord TrainingData::read(const RecordPlace& place) const {
  const Dataset& d = dataset(place);
  const int64_t index = d.kept.index(place.record);
  const ScoringInput::Record record = d.input.records(index, 1).front();
  std::vector<int64_t> tokens;
  std::string changed = why_not(record, limits_);
  if (changed.empty() && record.length != d.kept.length(index))
    changed = fmt::format("{} tokens, it had {}", record.length, d.kept.length(index));
  if (changed.empty() && record.context == record.length) changed = "nothing but context";
  if (changed.empty()) {
    d.input.tokens(record, tokens);
    changed = reject_reason(tokens, limits_.vocab_size);
  }
  if (!changed.empty())
    fail(ExitCode::input, "{}: record {} changed since this run has read it: {}", d.input.path().native(), index,
         changed);
  return {{tokens.begin(), tokens.end()}, record.context};
}

int64_t TrainingData::mean_step_tokens(int64_t step_records, std::span<const double> weights) const {
  double tokens = 0, sum = 0;
  for (size_t i = 0; i < datasets_.size(); ++i) {
    const auto records = static_cast<double>(datasets_[i].kept.size());
    const double weight = weights.empty() ? records : weights[i];
    tokens += weight * static_cast<double>(datasets_[i].tokens) / records;
    sum += weight;
  }
  return static_cast<int64_t>(tokens / sum * static_cast<double>(step_records));
}

}  // namespace switchyard
