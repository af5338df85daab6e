// Runs of a few records whose shards are there, for tests of merging.
#pragma once

#include <memory>
#include <optional>

#include "jobs/score/results.h"
#include "run/lease.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {

/// Seven records of two tokens in chunks of three; record 4 is a reject. A model of one layer with two experts, of
/// which a token goes through one, and a vocabulary of two tokens.
class SmallRuns {
 protected:
  static constexpr int64_t kRecords = 7, kChunk = 3;

  SmallRuns() : SmallRuns(false, std::vector<int64_t>(kRecords, 1)) {}
  /// Of documents with so many pieces each.
  explicit SmallRuns(std::span<const int64_t> pieces) : SmallRuns(true, pieces) {}

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
            .pieces = shards.options.with_text ? kVocabulary : TokenPieces{},
            .provenance = {{"model", "m"}},
            .lease_nonce = lease_nonce_};
  }
  void hold_lease(const ShardSet& shards) {
    lease_ = Lease::acquire(shards.run.lease_path(), std::chrono::seconds(1));
    lease_nonce_ = lease_->nonce();
  }
  /// Merges, and changes the last value of one dataset of the results; their seal stays as it was.
  void merge_and_damage(const ShardSet& shards, const std::string& dataset) const {
    ASSERT_EQ(merge_results(merge_of(shards)), MergeOutcome::complete);
    const hid_t file = H5Fopen(shards.run.results_path().c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
    const hid_t column = H5Dopen2(file, dataset.c_str(), H5P_DEFAULT);
    const hid_t type = H5Dget_type(column);
    std::vector<unsigned char> values(H5Dget_storage_size(column));
    H5Dread(column, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
    values[values.size() - H5Tget_size(type)] ^= 1;
    H5Dwrite(column, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
    H5Tclose(type), H5Dclose(column), H5Fclose(file);
  }
  static bool published(const ShardSet& shards) { return std::filesystem::exists(shards.run.results_path()); }

  inline static const TokenPieces kVocabulary{2, [](int32_t id) { return std::string(id == 0 ? "" : "one"); }};

  TemporaryDirectory directory_{memory_directory()};
  std::optional<ScoringInput> input_;
  std::unique_ptr<Lease> lease_;
  std::string lease_nonce_;

 private:
  SmallRuns(bool documents, std::span<const int64_t> pieces) {
    ScoringInputWriter writer(directory_ / "input.h5", {.documents = documents});
    const int32_t tokens[] = {1, 2};
    for (size_t d = 0; d < pieces.size(); ++d) {
      for (int64_t piece = 0; piece < pieces[d]; ++piece) writer.add(tokens, 1, "id-" + std::to_string(d), "");
      if (documents) writer.end_document();
    }
    writer.finish();
    input_.emplace(directory_ / "input.h5");
  }
};

}  // namespace switchyard::test
