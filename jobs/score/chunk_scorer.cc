#include "jobs/score/chunk_scorer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/device.h"
#include "base/stopwatch.h"
#include "jobs/input/input_identity.h"
#include "jobs/score/batch_plan.h"

namespace switchyard {
namespace {

bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
}

/// A record's states [length, d] as one vector: their mean, summed in double in order, or the last.
std::vector<float> pool_states(ConstView states, std::string_view embed) {
  const auto d = static_cast<size_t>(states.shape[1]);
  const auto values = states.span<float>();
  if (embed == "last") return {values.end() - static_cast<std::ptrdiff_t>(d), values.end()};
  std::vector<double> sum(d, 0.0);
  for (size_t i = 0; i < values.size(); ++i) sum[i % d] += static_cast<double>(values[i]);
  std::vector<float> mean(d);
  for (size_t i = 0; i < d; ++i) mean[i] = static_cast<float>(sum[i] / static_cast<double>(states.rows()));
  return mean;
}

}  // namespace

ChunkScorer::ChunkScorer(Engine& engine, const ScoringInput& input, Communicator& world, Communicator& group,
                         Options options)
    : engine_(engine), input_(input), world_(world), group_(group), options_(std::move(options)) {}

std::optional<ChunkResult> ChunkScorer::score(int64_t chunk, int64_t first_record, int64_t num_records,
                                              SignalWatch& watch) {
  ScoredRows rows{ResultRows(options_.results)};
  const Records records = accepted(first_record, num_records, rows);
  std::vector<int64_t> lengths;
  for (const auto& record : records) lengths.push_back(record.length);
  ChunkProgress progress{.chunk = chunk, .records = num_records - std::ssize(records)};
  progress.tokens_left = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});

  const ExpertCounts before = counted();
  pace_.begin_chunk(progress.tokens_left);
  for (const auto& step : plan_batches(lengths, group_.size(), capacity())) {
    if (!may_go_on(watch, progress.tokens_left)) return std::nullopt;
    score_step(records, step, rows, progress);
    if (options_.on_step) options_.on_step(progress);
  }

  const Stopwatch stopwatch(counters_.gather);
  std::vector<ScoredRows> parts;
  for (const auto& bytes : group_.gather_bytes(pack_rows(rows), 0))
    parts.push_back(unpack_rows(bytes, options_.results));
  ChunkResult result;
  if (group_.rank() == 0) result = assemble_chunk(parts, options_.results);
  result.expert_tokens = counted_by_group_since(before);
  result.chunk = chunk;
  result.first_record = first_record;
  result.num_records = num_records;
  return result;
}

/// By this rank since it began.
ExpertCounts ChunkScorer::counted() const {
  const ExchangeCounters& counters = engine_.exchange_counters();
  return {std::ssize(counters.times), engine_.exchange().placement().num_experts(), counters.tokens_per_expert};
}

/// Collective over the group.
ExpertCounts ChunkScorer::counted_by_group_since(const ExpertCounts& before) const {
  ExpertCounts counts = counted();
  counts.subtract(before);
  group_.all_reduce(counts.view().reshaped({counts.layers * counts.experts}), ReduceOp::sum);
  return counts;
}

ChunkScorer::Records ChunkScorer::accepted(int64_t first_record, int64_t num_records, ScoredRows& rows) const {
  Records records;
  for (const auto& record : input_.records(first_record, num_records)) {
    std::string reason = reject_reason(record, options_.max_positions);
    if (reason.empty()) {
      records.push_back(record);
    } else if (group_.rank() == 0) {
      rows.rejects.push_back({record.index, std::move(reason)});
    }
  }
  return records;
}

/// step: by rank, its records.
void ChunkScorer::score_step(const Records& records, const std::vector<std::vector<int>>& step, ScoredRows& rows,
                             ChunkProgress& progress) {
  int64_t step_tokens = 0;
  for (const auto& batch : step) {
    progress.records += std::ssize(batch);
    for (const int i : batch) step_tokens += records[static_cast<size_t>(i)].length;
  }
  Records mine;
  for (const int i : step[static_cast<size_t>(group_.rank())]) mine.push_back(records[static_cast<size_t>(i)]);
  const double start = seconds_now();
  score_batch(mine, rows);
  {
    // The slowest rank's time, so that all ranks plan alike; and for how long each was busy since they met in the last
    // exchange: what a rank waits for here beyond that is rows under way to another one.
    const double end = seconds_now(), busy = engine_.exchange().busy_since_meeting();
    double most[2] = {end - start, busy};
    group_.all_reduce({most, {2}, DType::f64}, ReduceOp::max);
    const ExchangeTimes here = engine_.exchange().waited_since(busy, most[1]);
    counters_.agree += here.wait;
    counters_.late_rows += here.transfer;
    pace_.add_step(step_tokens, most[0]);
  }
  progress.tokens_left -= step_tokens;
  counters_.group_tokens += step_tokens;
  ++counters_.steps;
}

void ChunkScorer::committed(double seconds) {
  const Stopwatch stopwatch(counters_.agree);
  pace_.end_chunk(group_.all_reduce_one(seconds, ReduceOp::max));
}

/// Tokens a rank may take at once: what it was told, or what fits the time that a step may last.
int64_t ChunkScorer::capacity() const {
  if (pace_.tokens_per_second() == 0) return options_.batch_tokens;
  const double bound = std::min(pace_.tokens_per_second() * options_.step_seconds / group_.size(), 1e18);
  return std::clamp(static_cast<int64_t>(bound), int64_t{1}, options_.batch_tokens);
}

/// Whether there is time for the rest of the chunk. Told to stop, a rank has what the operator gave it, and a commit's
/// second; before a time limit, what this run's chunks have been seen to take.
bool ChunkScorer::may_go_on(SignalWatch& watch, int64_t tokens_left) {
  constexpr double kCommitSeconds = 1;
  const Stopwatch stopwatch(counters_.agree);
  const StopDecision decision = agree_on_stopping(watch, world_, group_);
  if (decision.drop) return false;
  if (!decision.seconds_left) return true;
  if (!decision.stop) return pace_.fits(tokens_left, *decision.seconds_left);
  return pace_.tokens_per_second() > 0 && pace_.seconds_for(tokens_left) + kCommitSeconds < *decision.seconds_left;
}

void ChunkScorer::score_batch(std::span<const ScoringInput::Record> records, ScoredRows& rows) {
  const Prepared prepared = prepare(records, rows);
  const Stream& stream = engine_.stream();
  Arena& arena = engine_.arena();
  const ArenaScope scope(arena);
  View states;
  {
    const Stopwatch stopwatch(counters_.decode);
    // Also with no records: the exchange is collective. Waited for, so that the time is told by phase.
    states = engine_.decoder().forward(stream, arena, prepared.batch);
    synchronize(stream);
  }
  const Stopwatch stopwatch(counters_.head);
  const TokenScores scores = engine_.decoder().score(stream, arena, states, prepared.row, prepared.target);
  const std::vector<float> quantiles = quantiles_of(prepared, states);
  if (options_.results.embed == "none") {
    collect(prepared, {}, scores, quantiles, rows);
  } else {
    collect(prepared, HostCopy(stream, states).view(), scores, quantiles, rows);
  }
  counters_.tokens += prepared.batch.tokens();
  counters_.scored_tokens += static_cast<int64_t>(prepared.row.size());
}

/// Reads the records' tokens; those with bad ids, and those with nothing to compute, are done with here.
ChunkScorer::Prepared ChunkScorer::prepare(std::span<const ScoringInput::Record> records, ScoredRows& rows) {
  const Stopwatch stopwatch(counters_.read);
  Prepared prepared;
  std::vector<int32_t> ids;
  for (const ScoringInput::Record& record : records) {
    if (!read_tokens(record, ids, rows)) continue;
    if (!needs_model(record, options_.results)) {
      rows.accepted.append({.record = record.index});
      continue;
    }
    const auto first = static_cast<int32_t>(prepared.batch.tokens());
    for (int64_t t = record.context; t < record.length; ++t) {
      prepared.row.push_back(first + static_cast<int32_t>(t) - 1);
      prepared.target.push_back(ids[static_cast<size_t>(t)]);
    }
    prepared.batch.add(ids);
    prepared.records.push_back(record);
  }
  return prepared;
}

/// A record's token ids, hashed; false (and a reject) if one is outside the vocabulary.
bool ChunkScorer::read_tokens(const ScoringInput::Record& record, std::vector<int32_t>& ids, ScoredRows& rows) {
  std::vector<int64_t> tokens;
  input_.tokens(record, tokens);
  rows.hashed_record.push_back(record.index);
  rows.hash.push_back(hash_record(record, tokens));
  if (std::string reason = reject_reason(tokens, options_.vocab_size); !reason.empty()) {
    rows.rejects.push_back({record.index, std::move(reason)});
    return false;
  }
  ids.assign(tokens.begin(), tokens.end());
  return true;
}

/// Of the softmax over the bins, in double: [scored tokens, levels]. NaN where a logit is not finite.
std::vector<float> ChunkScorer::quantiles_of(const Prepared& prepared, ConstView states) const {
  const std::vector<double>& levels = options_.results.quantiles;
  std::vector<float> values;
  if (levels.empty()) return values;
  std::vector<double> mass(static_cast<size_t>(options_.bins.count));
  engine_.decoder().logits(engine_.stream(), engine_.arena(), states, prepared.row,
                           [&](size_t, std::span<const float> logits) {
                             const auto of_bins = logits.first(mass.size());
                             const bool finite = all_finite(of_bins);
                             const float most = *std::ranges::max_element(of_bins);
                             for (size_t i = 0; i < mass.size(); ++i)
                               mass[i] = std::exp(static_cast<double>(of_bins[i]) - static_cast<double>(most));
                             for (const double level : levels)
                               values.push_back(finite ? static_cast<float>(options_.bins.quantile(mass, level)) : NAN);
                           });
  return values;
}

void ChunkScorer::collect(const Prepared& prepared, ConstView states, const TokenScores& scores,
                          std::span<const float> quantiles, ScoredRows& rows) const {
  const size_t levels = options_.results.quantiles.size();
  size_t next = 0;
  for (size_t r = 0; r < prepared.records.size(); ++r) {
    const ScoringInput::Record& record = prepared.records[r];
    const auto count = static_cast<size_t>(record.length - record.context);
    std::vector<float> pooled;
    if (options_.results.embed != "none")
      pooled = pool_states(states.slice(prepared.batch.record_offsets[r], record.length), options_.results.embed);
    const ScoredRecord scored{record.index,
                              std::span(scores.logprob).subspan(next, count),
                              std::span(scores.argmax).subspan(next, count),
                              std::span(prepared.target).subspan(next, count),
                              pooled,
                              quantiles.subspan(next * levels, count * levels)};
    next += count;
    if (all_finite(scored.logprob) && all_finite(scored.quantiles) && all_finite(scored.pooled)) {
      rows.accepted.append(scored);
    } else {
      rows.rejects.push_back({record.index, std::string(kNotFinite)});
    }
  }
}

}  // namespace switchyard
