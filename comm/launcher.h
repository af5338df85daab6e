// What the environment says of the launcher that started this process.
#pragma once

#include <cstdint>
#include <string>

namespace switchyard {

/// Whether a launcher (mpirun, srun with PMI/PMIx) started this process, judged by the environment, before MPI_Init.
bool launched_by_mpi();
/// The same for the launchers that this program's Open MPI certainly understands: mpirun, and srun --mpi=pmix.
bool launched_by_pmix();

/// That a launcher started several processes, and the variable it is known from.
struct LauncherClaim {
  std::string variable;   ///< empty: no launcher speaks of more than this process
  int64_t num_ranks = 1;  ///< at least; a variable may count one host's alone

  bool by_srun() const;
  bool by_mpirun() const;  ///< Open MPI's
};
LauncherClaim launcher_claim();

/// Fails when a launcher says that it started several processes but this one finds itself alone: without an MPI that
/// the launcher understands each would do the whole work. make_mpi_communicator calls it; a program that does not use
/// MPI calls it with world_size 1.
void check_launcher(int world_size);

}  // namespace switchyard
