#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"

namespace switchyard {

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
