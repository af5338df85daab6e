// Environment variables: what is there, and what Slurm's commands find when Switchyard calls them.
#pragma once

#include <map>
#include <set>
#include <string>

namespace switchyard {

/// Its value; empty when there is none.
std::string variable(const char* name);

using Environment = std::map<std::string, std::string>;

/// For commands whose output is read: no variable changes its form, or which jobs are shown.
Environment client_environment();

/// For sbatch, and so for the job. What a surrounding job left there is not meant for this one, and a variable of
/// sbatch would win over the script; those that choose where a job runs, and at whose expense, pass unless `chosen` has
/// their option ("partition"). Says what is left out.
Environment sbatch_environment(const std::set<std::string>& chosen);

}  // namespace switchyard
