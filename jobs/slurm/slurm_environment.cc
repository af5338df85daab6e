#include "jobs/slurm/slurm_environment.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "io/command.h"

namespace switchyard {
namespace {

/// Where Slurm is, and who the user is to it.
bool says_where_slurm_is(std::string_view name) {
  return name == "SLURM_CONF" || name == "SLURM_CONF_SERVER" || name == "SLURM_JWT" || name.starts_with("SLURM_SACK_");
}

struct Choice {
  std::string_view variable, option;
};
constexpr std::array<Choice, 7> kChoices = {{{"SBATCH_ACCOUNT", "account"},
                                             {"SBATCH_CLUSTERS", "clusters"},
                                             {"SBATCH_CONSTRAINT", "constraint"},
                                             {"SBATCH_PARTITION", "partition"},
                                             {"SBATCH_QOS", "qos"},
                                             {"SBATCH_RESERVATION", "reservation"},
                                             {"SLURM_CLUSTERS", "clusters"}}};

/// Why a variable is kept from sbatch; empty: it is not.
std::string why_dropped(std::string_view name, const std::set<std::string>& chosen) {
  if (says_where_slurm_is(name)) return {};
  if (const auto* choice = std::ranges::find(kChoices, name, &Choice::variable); choice != kChoices.end())
    return chosen.contains(std::string(choice->option)) ? fmt::format("--{} is set", choice->option) : "";
  if (name.starts_with("SBATCH_")) return "it would win over the script";
  constexpr std::array<std::string_view, 5> kOfAJob = {"SLURM_", "SRUN_", "PMIX_", "PMI_", "OMPI_"};
  const bool of_a_job = std::ranges::any_of(kOfAJob, [&](std::string_view prefix) { return name.starts_with(prefix); });
  return of_a_job ? "of the job or shell around; --setup sets one for the new job" : "";
}

}  // namespace

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

Environment client_environment() {
  Environment environment = environment_without({"SBATCH_", "SCONTROL_", "SINFO_", "SQUEUE_"});
  std::erase_if(environment, [](const auto& variable) {
    return variable.first.starts_with("SLURM_") && !says_where_slurm_is(variable.first);
  });
  environment["SLURM_TIME_FORMAT"] = "standard";
  environment["SLURM_BITSTR_LEN"] = "0";  // all indices of an array, however many
  environment["LC_ALL"] = "C";
  return environment;
}

Environment sbatch_environment(const std::set<std::string>& chosen) {
  Environment environment = environment_without({});
  std::map<std::string, std::vector<std::string>> dropped;  // by why
  std::erase_if(environment, [&](const auto& variable) {
    const std::string why = why_dropped(variable.first, chosen);
    if (!why.empty()) dropped[why].push_back(variable.first + "=" + variable.second);
    return !why.empty();
  });
  for (const auto& [why, variables] : dropped)
    log::info("not passed on to sbatch ({}): {}", why, fmt::join(variables, " "));
  return environment;
}

}  // namespace switchyard
