#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"

namespace switchyard {

/// Whether a launcher (mpirun, srun with PMI/PMIx) started this process, judged by the environment, before MPI_Init.
bool launched_by_mpi();

/// Initialises MPI (funneled) on construction, finalises it on destruction; one per process.
class MpiEnvironment {
 public:
  MpiEnvironment();
  ~MpiEnvironment();
  MpiEnvironment(const MpiEnvironment&) = delete;
  MpiEnvironment& operator=(const MpiEnvironment&) = delete;
};

/// MPI_COMM_WORLD, duplicated.
std::unique_ptr<Communicator> make_mpi_communicator();

/// "Open MPI v4.1.4 …", first line.
std::string mpi_library_version();

}  // namespace switchyard
