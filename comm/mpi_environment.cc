#include <exception>
#include <string_view>

#include "base/thread_pool.h"
#include "comm/mpi_call.h"
#include "comm/mpi_communicator.h"

namespace switchyard {
namespace {

/// Where MPI_Init cannot start its threads it ends the process with exit code 1. So as many as Open MPI 4.1 starts are
/// tried before.
void check_thread_limit() {
  constexpr int kThreadsOfMpi = 3;
  const ThreadPool tried(1 + kThreadsOfMpi, "MPI: thread");
}

}  // namespace

void check_mpi(int code, const char* call, const char* file, int line) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) length = 0;
  fail(ExitCode::environment, "MPI error {}: {} [{}] at {}:{}", code,
       std::string_view(text, static_cast<size_t>(length)), call, file, line);
}

MpiEnvironment::MpiEnvironment() : num_exceptions_(std::uncaught_exceptions()) {
  check_thread_limit();
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
