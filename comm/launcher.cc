#include "comm/launcher.h"

#include <cstdlib>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/number.h"

namespace switchyard {
namespace {

constexpr std::string_view kOpenMpiSize = "OMPI_COMM_WORLD_SIZE";
constexpr std::string_view kSrunTasks =
    "SLURM_STEP_NUM_TASKS";  // of the step: a batch script sees SLURM_NTASKS, and runs once

/// A variable that a launcher sets for the processes it starts.
struct Sign {
  const char* variable;
  int more_ranks;  ///< than the value, at least: none if it counts them, one if it is a rank
};
constexpr Sign kSigns[] = {
    {kSrunTasks.data(), 0},
    {"PMI_SIZE", 0},  // MPICH, Intel MPI, Cray's PALS, srun --mpi=pmi2
    {"MV2_COMM_WORLD_SIZE", 0},
    {"JSM_NAMESPACE_SIZE", 0},
    {"FLUX_JOB_SIZE", 0},
    {"PALS_SIZE", 0},
    {"PALS_NRANKS", 0},
    // One host's alone.
    {"MPI_LOCALNRANKS", 0},
    {"PMI_LOCAL_SIZE", 0},
    {"PALS_LOCAL_SIZE", 0},
    {"MV2_COMM_WORLD_LOCAL_SIZE", 0},
    // Where nothing counts the ranks, all but the first still know that there are more.
    {"PMI_RANK", 1},
    {"PMIX_RANK", 1},
    {"PALS_RANKID", 1},
    {"ALPS_APP_PE", 1},
    {"JSM_NAMESPACE_RANK", 1},
    {"FLUX_TASK_RANK", 1},
    {"MV2_COMM_WORLD_RANK", 1},
    {"MPI_LOCALRANKID", 1},
};

/// Empty when the variable is not set, or is no count.
std::optional<int64_t> count_in(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? std::nullopt : number_in<uint32_t>(value);
}

}  // namespace

bool launched_by_mpi() {
  return launched_by_pmix() || std::getenv("PMI_RANK") != nullptr;
}

bool launched_by_pmix() {
  return std::getenv(kOpenMpiSize.data()) != nullptr || std::getenv("PMIX_RANK") != nullptr;
}

bool LauncherClaim::by_srun() const {
  return variable == kSrunTasks;
}
bool LauncherClaim::by_mpirun() const {
  return variable == kOpenMpiSize;
}

LauncherClaim launcher_claim() {
  // Of mpirun's own ranks nobody else has a say: it may start one inside a step of many tasks.
  if (const auto ranks = count_in(kOpenMpiSize.data())) return {std::string(kOpenMpiSize), *ranks};
  LauncherClaim claim;
  for (const Sign& sign : kSigns)
    if (const auto count = count_in(sign.variable); count && *count + sign.more_ranks > claim.num_ranks)
      claim = {sign.variable, *count + sign.more_ranks};
  return claim;
}

void check_launcher(int world_size) {
  const LauncherClaim claim = launcher_claim();
  if (world_size > 1 || claim.num_ranks <= 1) return;
  if (claim.by_srun())
    fail(ExitCode::environment,
         "srun started {} tasks ({}), but MPI finds 1 rank: each task would do the whole work; start it with srun "
         "--mpi=pmix (srun --mpi=list shows what there is) or with mpirun",
         claim.num_ranks, claim.variable);
  fail(ExitCode::environment,
       "a launcher started at least {} ranks ({} is {}), but MPI finds 1: each would do the whole work; start it with "
       "the "
       "mpirun of its own MPI (switchyard --version names it), or unset {} where one process is meant",
       claim.num_ranks, claim.variable, std::getenv(claim.variable.c_str()), claim.variable);
}

}  // namespace switchyard
