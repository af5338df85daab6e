// Runs of a few records whose shards are there, for tests of merging.
#pragma once

#include <memory>
#include <optional>

#include "jobs/score/results.h"
#include "run/lease.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {

/// Seven records of two tokens in chunks of three; record 4 is a reject. A model of one layer with two experts, of
/// which a token goes through one.
class SmallRuns {
 protected:
  static constexpr int64_t kRecords = 7, kChunk = 3;

  SmallRuns() {
    ScoringInputWriter writer(directory_ / "input.h5");
    const int32_t tokens[] = {1, 2};
    for (int64_t r = 0; r < kRecords; ++r) writer.add(tokens, 1, "id-" + std::to_string(r), "");
    writer.finish();
    input_.emplace(directory_ / "input.h5");
  }

  ShardSet make_run(const std::string& name, const ResultOptions& options = {true, "none", 0}) const {
    const RunDirectory run(directory_ / name);
    run.create();
    const WorkUnits units = chunk_units(kRecords, kChunk);
    std::filesystem::create_directory(units.folder(run.root()));
    return {run, units, options, "fingerprint"};
  }
  static void write(const ShardSet& shards, int64_t chunk, std::optional<ExpertCounts> expert_tokens = {}) {
    ChunkResult r;
    r.chunk = chunk;
    r.first_record = shards.units.first_item(chunk);
    r.num_records = shards.units.items_in(chunk);
    r.accepted = ResultRows(shards.options);
    for (int64_t record = r.first_record; record < r.first_record + r.num_records; ++record) {
      if (record == 4) {
        r.rejects.push_back({record, "empty record"});
        continue;
      }
      const float logprob[] = {-1.5f * static_cast<float>(record)};
      const int32_t argmax[] = {static_cast<int32_t>(record % 2)}, target[] = {1};
      const std::vector<float> pooled(static_cast<size_t>(shards.options.embedding_dim), logprob[0]);
      r.accepted.append({record, logprob, argmax, target, pooled});
    }
    const int64_t tokens = 2 * std::ssize(r.accepted.records());
    r.expert_tokens = expert_tokens.value_or(ExpertCounts{1, 2, {chunk, tokens - chunk}});
    write_shard(shards.path(chunk), r, shards.fingerprint);
  }
  MergeInput merge_of(const ShardSet& shards) const {
    return {.shards = shards,
            .input = *input_,
            .expert_tokens = ExpertCounts::zeros(1, 2),
            .provenance = {{"model", "m"}},
            .lease_nonce = lease_nonce_};
  }
  void hold_lease(const ShardSet& shards) {
    lease_ = Lease::acquire(shards.run.lease_path(), std::chrono::seconds(1));
    lease_nonce_ = lease_->nonce();
  }
  static bool published(const ShardSet& shards) { return std::filesystem::exists(shards.run.results_path()); }

  TemporaryDirectory directory_;
  std::optional<ScoringInput> input_;
  std::unique_ptr<Lease> lease_;
  std::string lease_nonce_;
};

}  // namespace switchyard::test
