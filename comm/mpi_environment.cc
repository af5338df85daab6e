#include <charconv>
#include <cstdlib>
#include <exception>
#include <string_view>

#include "comm/mpi_call.h"
#include "comm/mpi_communicator.h"

namespace switchyard {

void check_mpi(int code, const char* call, const char* file, int line) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) length = 0;
  fail(ExitCode::environment, "MPI error {}: {} [{}] at {}:{}", code,
       std::string_view(text, static_cast<size_t>(length)), call, file, line);
}

bool launched_by_mpi() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"})
    if (std::getenv(name) != nullptr) return true;
  return false;
}

bool launched_by_pmix() {
  return std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr || std::getenv("PMIX_RANK") != nullptr;
}

void check_launcher(int world_size) {
  // Of the step, not the job: a batch script sees SLURM_NTASKS too, and runs once. Under mpirun the step is mpirun's
  // own.
  const char* value = std::getenv("SLURM_STEP_NUM_TASKS");
  if (world_size > 1 || value == nullptr || std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr) return;
  const std::string_view text = value;
  int num_tasks = 0;
  std::from_chars(text.data(), text.data() + text.size(), num_tasks);
  if (num_tasks > 1)
    fail(ExitCode::environment,
         "srun started {} tasks (SLURM_STEP_NUM_TASKS), but MPI finds 1 rank: each task would do the whole work; "
         "start it with srun --mpi=pmix (srun --mpi=list shows what there is) or with mpirun",
         num_tasks);
}

MpiEnvironment::MpiEnvironment() : num_exceptions_(std::uncaught_exceptions()) {
  int provided = MPI_THREAD_SINGLE;
  SWITCHYARD_MPI(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided));
  SWITCHYARD_MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
  if (provided < MPI_THREAD_FUNNELED)
    fail(ExitCode::environment, "MPI: expected thread support of level funneled ({}), this library gives {}",
         MPI_THREAD_FUNNELED, provided);
}

MpiEnvironment::~MpiEnvironment() {
  if (std::uncaught_exceptions() == num_exceptions_) MPI_Finalize();
}

std::string mpi_library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  SWITCHYARD_MPI(MPI_Get_library_version(text, &length));
  const std::string_view version(text);  // Open MPI counts the terminating zero in `length`
  return std::string(version.substr(0, version.find('\n')));
}

}  // namespace switchyard
