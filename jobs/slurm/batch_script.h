// The batch script that `switchyard submit` writes: readable, complete, good for `sbatch` by hand.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

inline constexpr std::string_view kArrayIndex = "%a";  ///< in a run's path or an argument: the array task's index

/// A job in its run directory.
struct BatchRun {
  std::string job;                     ///< "score"
  std::vector<std::string> arguments;  ///< with kArrayIndex
  std::string run;                     ///< the run directory, likewise
};

struct BatchScript {
  std::string program;                 ///< this program's absolute path
  std::string job;                     ///< "score"
  std::vector<std::string> arguments;  ///< of the job; with kArrayIndex
  std::string run;                     ///< the run directory, likewise
  std::vector<BatchRun> then;          ///< runs that follow it, each once the one before is complete
  int64_t first_index = 0;             ///< what is added to the array task's index
  std::string mark;                    ///< a file that submit made in the run's attempts/, which every node must see
  std::string log;                     ///< of the script itself, in Slurm's patterns
  bool opens_log = false;  ///< itself: Slurm could not, nor start the script, where the run may be on another host's
                           ///< disk, and would number the runs of a later part of an array from 0
  std::string directory;   ///< where the job starts
  std::string name, array;
  std::vector<std::string> sbatch_options;  ///< "--nodes=2", …, in order; the last of two wins
  std::vector<std::string> modules, setup;  ///< to load; shell lines to run before srun
  std::string slurm_path;                   ///< where its commands are, should the job's PATH not say; may be empty
  std::string mpi = "pmix";                 ///< empty: what srun does of itself
  std::string srun_flags;                   ///< in a shell's words
  int64_t signal_seconds = 180;
  bool chained = false;  ///< successors resume it, or nobody; otherwise it requeues itself
};

std::string render(const BatchScript& script);

/// The line of a script before the first `module load`: a shell that is no login shell may not know it.
inline constexpr std::string_view kModules =
    "# shellcheck disable=SC1091\ncommand -v module >/dev/null || source /etc/profile\n";

/// As one word for a shell: quoted where it must be.
std::string shell_word(const std::string& text);

/// Whether a shell takes it as words of the command it stands in: quotes closed, no comment, no other command.
bool are_shell_words(std::string_view text);

}  // namespace switchyard
