// Other programs, run to their end: Slurm's commands, a sweep's runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
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

/// Runs argv[0], a path, in a process group of its own, with what it prints appended to `log`; its exit code, 128 +
/// signal when killed by one. It gets SIGTERM whenever `stop`, asked again and again meanwhile, returns true.
int run_to_log(const std::vector<std::string>& argv, const std::map<std::string, std::string>& environment,
               const std::filesystem::path& log, const std::function<bool()>& stop);

/// The path of this program.
std::string own_program();

/// The folder of PATH that has a program; empty: none.
std::string folder_of_program(const std::string& name);

}  // namespace switchyard
