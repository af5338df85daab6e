// Other programs, run to their end: Slurm's commands.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace switchyard {

struct CommandResult {
  int exit_code = 0;  ///< 128 + signal when killed by one
  std::string out, err;
};

/// The environment without variables whose names start with one of these.
std::map<std::string, std::string> environment_without(const std::vector<std::string>& prefixes);

/// What a program hears of signals. Nothing: those for the whole process group are this process's to answer alone.
enum class Hears : uint8_t { signals, nothing };

/// Runs argv[0], found in PATH, and waits. Empty when there is no such program. `environment`: this process's own
/// unless given.
std::optional<CommandResult> run_command(
    const std::vector<std::string>& argv,
    const std::optional<std::map<std::string, std::string>>& environment = std::nullopt, Hears hears = Hears::signals);

/// The folder of PATH that has a program; empty: none.
std::string folder_of_program(const std::string& name);

}  // namespace switchyard
