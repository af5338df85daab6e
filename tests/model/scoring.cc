#include "tests/model/scoring.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/device.h"
#include "comm/staged_communicator.h"
#include "model/decoder.h"

namespace switchyard::test {
namespace {

/// The records of one forward pass of one rank.
struct Share {
  size_t first = 0, count = 0;
};

Share share_of(size_t batch, size_t num_records, const ScoringRun& run) {
  const auto size = static_cast<size_t>(run.records_per_batch);
  const size_t first = std::min(batch * size, num_records);
  return {first, std::min(size, num_records - first)};
}

DecoderLimits limits_of(const std::vector<Record>& records, const ScoringRun& run) {
  DecoderLimits limits{.micro_batches = run.micro_batches};
  int64_t tokens = 0;
  for (size_t i = 0; i < records.size(); ++i) {
    const auto length = static_cast<int64_t>(records[i].tokens.size());
    tokens = i % static_cast<size_t>(run.records_per_batch) == 0 ? length : tokens + length;
    limits.max_tokens = std::max(limits.max_tokens, tokens);
    limits.max_record = std::max(limits.max_record, length);
  }
  return limits;
}

/// Runs the records of `share` through the decoder, and puts each one's results in its place.
void score_share(const Stream& stream, Arena& arena, const Decoder& decoder, const std::vector<Record>& records,
                 Share share, std::vector<RecordScores>& results) {
  const ArenaScope scope(arena);
  Batch batch;
  std::vector<int32_t> row, target;
  for (size_t i = share.first; i < share.first + share.count; ++i) {
    const std::vector<int32_t>& tokens = records[i].tokens;
    for (auto t = static_cast<size_t>(records[i].context); t < tokens.size(); ++t) {
      row.push_back(static_cast<int32_t>(batch.tokens() + static_cast<int64_t>(t) - 1));
      target.push_back(tokens[t]);
    }
    batch.add(tokens);
  }
  const View states = decoder.forward(stream, arena, batch);
  const TokenScores scores = decoder.score(stream, arena, states, row, target);
  const HostCopy here(stream, states);
  auto logprob = scores.logprob.begin();
  auto argmax = scores.argmax.begin();
  for (size_t r = 0; r < share.count; ++r) {
    const Record& record = records[share.first + r];
    RecordScores& result = results[share.first + r];
    const auto scored = std::ssize(record.tokens) - record.context;
    result.logprob.assign(logprob, logprob + scored);
    result.argmax.assign(argmax, argmax + scored);
    logprob += scored;
    argmax += scored;
    const auto rows = here.view().slice(batch.record_offsets[r], std::ssize(record.tokens)).span<float>();
    result.states.assign(rows.begin(), rows.end());
  }
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace

std::vector<RecordScores> score_records(const std::filesystem::path& model, const std::vector<Record>& records,
                                        const ScoringRun& run) {
  return score_records(read_model_config(model), checkpoint_weights(model), records, run);
}

std::vector<RecordScores> score_records(const ModelConfig& config, const WeightSource& weights,
                                        const std::vector<Record>& records, const ScoringRun& run) {
  EngineOptions options{run.operand, run.num_threads, limits_of(records, run), run.exchange_bytes, run.device};
  options.placement = run.placement(config.num_experts(), run.num_ranks);
  std::vector<RecordScores> results(records.size());

  run_thread_ranks(run.num_ranks, [&](Communicator& threads) {
    const auto world = stage_through_host(threads.split(0, threads.rank()));
    EngineOptions own = options;
    if (run.device == Device::cuda) own.device_index = world->rank() % num_devices();
    Engine engine(config, weights, own, *world);
    const auto ranks = static_cast<size_t>(run.num_ranks);
    // As many passes on every rank; a rank without records takes part with none.
    for (size_t batch = 0; share_of(batch, records.size(), run).count > 0; batch += ranks) {
      const Share share = share_of(batch + static_cast<size_t>(world->rank()), records.size(), run);
      score_share(engine.stream(), engine.arena(), engine.decoder(), records, share, results);
    }
    if (run.counters != nullptr) run.counters->at(static_cast<size_t>(world->rank())) = engine.exchange_counters();
  });
  return results;
}

std::string first_difference(const std::vector<RecordScores>& a, const std::vector<RecordScores>& b) {
  if (a.size() != b.size()) return fmt::format("{} and {} records", a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    if (!same_bits(a[i].states, b[i].states)) return fmt::format("states of record {}", i);
    if (!same_bits(a[i].logprob, b[i].logprob)) return fmt::format("log-probabilities of record {}", i);
    if (!same_bits(a[i].argmax, b[i].argmax)) return fmt::format("argmax of record {}", i);
  }
  return "";
}

}  // namespace switchyard::test
