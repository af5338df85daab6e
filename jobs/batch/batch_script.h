// The batch script that `switchyard submit` writes: readable, complete, good for `sbatch` by hand.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace switchyard {

struct BatchScript {
  std::string program;                 ///< this program's absolute path
  std::string job;                     ///< "score"
  std::vector<std::string> arguments;  ///< of the job; "%a" stands for the array task's index
  std::string run;                     ///< the run directory, likewise
  std::string log;                     ///< of the script itself, in Slurm's patterns
  std::string directory;               ///< where the job starts
  std::string name, array;
  std::vector<std::string> sbatch_options;  ///< "--nodes=2", …, in order; the last of two wins
  std::vector<std::string> modules, setup;  ///< to load; shell lines to run before srun
  std::string mpi = "pmix", srun_flags;
  int64_t signal_seconds = 180;
  bool chained = false;  ///< successors resume it; otherwise it requeues itself
};

std::string render(const BatchScript& script);

/// As one word for a shell: quoted where it must be.
std::string shell_word(const std::string& text);

}  // namespace switchyard
