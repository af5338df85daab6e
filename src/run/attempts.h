// The attempts at a run, each a folder attempts/NAME with its logs. NAME is JOB.RESTART under Slurm, local.N otherwise.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "run/run_directory.h"

namespace switchyard {

/// What an attempt has left of itself.
struct AttemptRecord {
  std::filesystem::path path;
  int64_t number = 0;          ///< in the order of their beginnings, from 1
  int64_t units_at_start = 0;  ///< that were done
  int64_t started = 0;         ///< seconds since 1970
  bool stopped = false;        ///< settled with "stop" (end.json)

  std::string name() const { return path.filename().native(); }
};

/// "17.0": what Slurm's environment calls this attempt; empty outside Slurm.
std::string slurm_attempt_name();

/// Records the beginning of an attempt (attempts/NAME/start.json); the folder may be there, with logs. For the holder
/// of the lease: several may begin at once otherwise. A second attempt of the same name gets the next free NAME.N.
AttemptRecord begin_attempt(const RunDirectory& run);

/// All attempts/NAME, those that never began as well. Fails (input) if they cannot be listed.
std::vector<std::filesystem::path> attempt_folders(const RunDirectory& run);

std::vector<AttemptRecord> list_attempts(const RunDirectory& run);  ///< those that began, in order

/// How many of the last attempts, in a row, began with as many units done as are now; none before one that was
/// settled with "stop": whoever submits after that begins anew.
int64_t fruitless_attempts(const RunDirectory& run);

}  // namespace switchyard
