#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"

namespace switchyard {

/// Whether a launcher (mpirun, srun with PMI/PMIx) started this process, judged by the environment, before MPI_Init.
bool launched_by_mpi();
/// The same for the launchers that this program's Open MPI certainly understands: mpirun, and srun --mpi=pmix.
bool launched_by_pmix();

/// Fails when srun says that it started several tasks but this process finds itself alone: without PMI every task would
/// do the whole work. make_mpi_communicator calls it; a program that does not use MPI calls it with world_size 1.
void check_launcher(int world_size);

/// Initialises MPI (funneled: only this thread calls it) on construction, finalises it on destruction; one per process.
/// Unwound by an exception it leaves MPI alone: finalising waits for ranks that may never come, while a process that
/// ends without it makes the launcher end the others.
class MpiEnvironment {
 public:
  MpiEnvironment();
  ~MpiEnvironment();
  MpiEnvironment(const MpiEnvironment&) = delete;
  MpiEnvironment& operator=(const MpiEnvironment&) = delete;

 private:
  int num_exceptions_;  // under way at construction
};

/// MPI_COMM_WORLD, duplicated. Messages longer than max_message_bytes travel in pieces.
std::unique_ptr<Communicator> make_mpi_communicator(int64_t max_message_bytes = int64_t{1} << 30);

/// "Open MPI v4.1.4, …", first line.
std::string mpi_library_version();

}  // namespace switchyard
