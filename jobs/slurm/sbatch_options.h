// Options of sbatch, as words of a command line and as #SBATCH lines of a script.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

struct SbatchOption {
  std::string_view name;  ///< without "--"
  char letter;            ///< of its short form
  size_t least;           ///< letters of `name` that no other option begins with
};
inline constexpr SbatchOption kAccount{"account", 'A', 4}, kArray{"array", 'a', 2}, kChdir{"chdir", 'D', 3},
    kClusters{"clusters", 'M', 7}, kConstraint{"constraint", 'C', 4}, kCpusPerTask{"cpus-per-task", 'c', 10},
    kDependency{"dependency", 'd', 3}, kError{"error", 'e', 2}, kGpusPerNode{"gpus-per-node", '\0', 10},
    kNodelist{"nodelist", 'w', 5}, kNodes{"nodes", 'N', 5}, kOutput{"output", 'o', 2},
    kOvercommit{"overcommit", '\0', 5}, kPartition{"partition", 'p', 4}, kQos{"qos", 'q', 2},
    kReservation{"reservation", '\0', 3}, kSignal{"signal", '\0', 2}, kTasks{"ntasks", 'n', 6},
    kTasksPerGpu{"ntasks-per-gpu", '\0', 12}, kTasksPerNode{"ntasks-per-node", '\0', 12}, kTime{"time", 't', 4};

/// What a user gives to sbatch behind "--".
class SbatchOptions {
 public:
  SbatchOptions() = default;
  /// Fails (usage) on words that no #SBATCH line can hold.
  explicit SbatchOptions(std::span<const std::string> words);
  /// An option with its value in one word, behind all others. Fails likewise.
  void add(const std::string& word);

  /// One per option, with its value: a word that is no option is the value of the one before it.
  std::vector<std::string> lines() const;
  /// The last value that an option has, in whatever form it is written.
  std::optional<std::string> value_of(const SbatchOption& option) const;
  bool has(const SbatchOption& option) const { return value_of(option).has_value(); }

 private:
  std::vector<std::string> words_;
};

/// Fails (usage) unless `value` can be an option's in a #SBATCH line. `subject`: "--name".
void check_sbatch_value(std::string_view subject, std::string_view value, size_t max_bytes);
inline constexpr size_t kMaxSlurmName = 1024, kMaxSlurmWord = 4096;  ///< what Slurm takes, as a name and at all

/// As one word for sbatch's reader of #SBATCH lines: a shell's quoting, but a backslash counts between quotes too.
std::string sbatch_word(const std::string& text);

}  // namespace switchyard
