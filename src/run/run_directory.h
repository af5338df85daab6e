// A run directory: the manifest that says what the run is, the state that says how far it got, what each unit of work
// has left, attempts, results.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/json.h"
#include "run/work_units.h"

namespace switchyard {

/// Fails (output) with both numbers when the disk has less free.
void require_disk_space(const std::filesystem::path& directory, uint64_t bytes);

/// What may not change between attempts, as named text values ("model" → hash, "numerics" → id, …).
using Fingerprint = std::map<std::string, std::string>;

/// Hash of all fields, for what units leave.
std::string fingerprint_hash(const Fingerprint& fingerprint);
/// As a manifest has it. Fails (input) naming the field that is no text; subject: the manifest's path.
Fingerprint recorded_fingerprint(const Json& manifest, std::string_view subject);

/// Whose run it is, as its manifest says: "score"; empty where it does not.
std::string recorded_job(const Json& manifest);

/// Paths of deltas as a manifest's info has them: absolute.
Json recorded_deltas(const std::vector<std::string>& paths);
/// And back; none where the run was begun before there were deltas. Fails (input).
std::vector<std::string> recorded_deltas(const Json& info, std::string_view subject);

enum class RunStatus : uint8_t { running, merging, interrupted, complete, failed };
std::string_view name_of(RunStatus status);

struct RunState {
  RunStatus status = RunStatus::running;
  int64_t units_total = 0, units_done = 0, items_total = 0, items_done = 0, rejects = 0;
  int exit_code = 0;
  std::string attempt;                           ///< the name of the attempt that wrote it
  std::string message;                           ///< why, for failed and interrupted
  std::string units = "units", items = "items";  ///< what they are called
  bool as_planned = false;  ///< an interruption that the attempt's own options asked for: not to be requeued
};

class RunDirectory {
 public:
  explicit RunDirectory(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path manifest_path() const { return root_ / "manifest.json"; }
  std::filesystem::path state_path() const { return root_ / "state.json"; }
  std::filesystem::path lease_path() const { return root_ / "lease.json"; }
  std::filesystem::path input_path() const { return root_ / "input.h5"; }  ///< of a run that made its own
  std::filesystem::path results_path() const { return root_ / "results.h5"; }
  std::filesystem::path rejects_path() const { return root_ / "rejects.jsonl"; }
  std::filesystem::path report_path() const { return root_ / "report.html"; }
  std::filesystem::path metrics_path() const { return root_ / "metrics.jsonl"; }
  std::filesystem::path timing_path() const {
    return root_ / "timing.jsonl";
  }                                                                          ///< of a job whose metrics have no times
  std::filesystem::path ranks_path() const { return root_ / "ranks.json"; }  ///< where the last attempt's time went
  std::filesystem::path config_path() const { return root_ / "config.resolved.cfg"; }

  /// Makes the directory and attempts/, as create_root() does.
  void create(std::string_view unit_folder = {}) const;
  /// Makes the directory alone; fails (output), also when the directory exists, is not empty and is no run directory.
  /// unit_folder: what may be there though the manifest is not.
  void create_root(std::string_view unit_folder = {}) const;

  /// Compares these fields with the manifest's and fails (mismatch) naming those that differ, with both values.
  void check_manifest(const Fingerprint& fields) const;
  /// Writes the manifest if there is none; otherwise checks `fixed`. `units` and `info` are recorded, not compared.
  void check_or_write_manifest(const Fingerprint& fixed, const WorkUnits& units, const Json& info) const;
  bool has_manifest() const;
  /// {"format", "fingerprint": {…}, "units": {…}, "info": {…}}; fails (mismatch) if it is of another format.
  Json read_manifest() const;
  /// As the manifest has them; empty while there is none.
  std::optional<WorkUnits> find_units() const;
  /// What is done by what is there; nothing while there is no manifest.
  UnitCounts units_present() const;

  void write_state(const RunState& state) const;  ///< atomic
  /// Empty when there is none, or none that can be read (cut off by a crash): a warning then, for shards and results
  /// tell as much.
  std::optional<RunState> find_state() const;
  RunState read_state() const;  ///< fails (input)

  std::filesystem::path attempts_path() const { return root_ / "attempts"; }

 private:
  std::filesystem::path root_;
};

}  // namespace switchyard
