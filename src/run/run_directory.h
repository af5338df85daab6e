// A run directory: the manifest that says what the run is, the state that says how far it got, shards, attempts,
// results.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/json.h"

namespace switchyard {

/// What may not change between attempts, as named text values ("model" → hash, "numerics" → id, …).
using Fingerprint = std::map<std::string, std::string>;

/// Hash of all fields, for shards.
std::string fingerprint_hash(const Fingerprint& fingerprint);

enum class RunStatus : uint8_t { running, merging, interrupted, complete, failed };
std::string_view name_of(RunStatus status);

struct RunState {
  RunStatus status = RunStatus::running;
  int64_t chunks_total = 0, chunks_done = 0, records_total = 0, records_done = 0, rejects = 0;
  int exit_code = 0;
  std::string attempt;  ///< the name of the attempt that wrote it
  std::string message;  ///< why, for failed and interrupted
};

class RunDirectory {
 public:
  explicit RunDirectory(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path manifest_path() const { return root_ / "manifest.json"; }
  std::filesystem::path state_path() const { return root_ / "state.json"; }
  std::filesystem::path lease_path() const { return root_ / "lease.json"; }
  std::filesystem::path results_path() const { return root_ / "results.h5"; }
  std::filesystem::path rejects_path() const { return root_ / "rejects.jsonl"; }
  std::filesystem::path report_path() const { return root_ / "report.html"; }
  std::filesystem::path metrics_path() const { return root_ / "metrics.jsonl"; }
  std::filesystem::path config_path() const { return root_ / "config.resolved.cfg"; }
  std::filesystem::path shard_path(int64_t chunk) const;  ///< shards/chunk-NNNNNN.h5

  /// Makes the directory and its folders, as create_root() does.
  void create() const;
  /// Makes the directory alone; fails (output), also when the directory exists, is not empty and is no run directory.
  void create_root() const;

  /// Compares these fields with the manifest's and fails (mismatch) naming those that differ, with both values.
  void check_manifest(const Fingerprint& fields) const;
  /// Writes the manifest if there is none; otherwise checks `fixed`. `info` is recorded, not compared.
  void check_or_write_manifest(const Fingerprint& fixed, const Json& info) const;
  bool has_manifest() const;
  /// {"format", "fingerprint": {…}, "info": {…}}; fails (mismatch) if it is of another format.
  Json read_manifest() const;

  void write_state(const RunState& state) const;  ///< atomic
  /// Empty when there is none, or none that can be read (cut off by a crash): a warning then, for shards and results
  /// tell as much.
  std::optional<RunState> find_state() const;
  RunState read_state() const;  ///< fails (input)

  std::filesystem::path attempts_path() const { return root_ / "attempts"; }

  /// Shards whose file exists, in order.
  std::vector<int64_t> shards_present() const;
  uint64_t shard_bytes() const;  ///< of their files

 private:
  std::filesystem::path root_;
};

}  // namespace switchyard
